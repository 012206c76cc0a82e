//! UDP datagrams larger than the MTU, echoed and compared: every fragment has to arrive.

use std::{
    net::{IpAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::{PAUSE, is_refusal_io, stream::Stream};
use crate::{family::Family, netns::Netns};

/// Bytes per datagram: fourteen fragments at an MTU of 1500.
const DATAGRAM: usize = 20_000;

/// Does a large datagram from `client` come back intact from `target` in `server`?
pub fn echo(client: &Netns, server: &Netns, target: IpAddr, patience: Duration) -> Result<bool> {
    let listener = server.run(|| {
        let listener =
            UdpSocket::bind((target, 0)).with_context(|| format!("cannot bind UDP to {target}"))?;
        listener.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(listener)
    })?;
    let port = listener.local_addr()?.port();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&listener, &done));
        let echoed = client.run(|| ask(target, port, patience));
        done.store(true, Ordering::Relaxed);
        serving
            .join()
            .map_err(|_| anyhow!("the UDP server panicked"))??;
        echoed
    })
}

fn ask(target: IpAddr, port: u16, patience: Duration) -> Result<bool> {
    let any = Family::of(target).unspecified();
    let socket = UdpSocket::bind((any, 0)).context("cannot bind UDP")?;
    socket.set_read_timeout(Some(PAUSE))?;
    let (mut sent, mut received) = (vec![0; DATAGRAM], vec![0; DATAGRAM + 1]);
    Stream::new(3).fill(&mut sent);
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        match socket.send_to(&sent, (target, port)) {
            Err(error) if !is_refusal_io(&error) => {
                return Err(error).with_context(|| format!("cannot send UDP to {target}"));
            }
            _ => {}
        }
        match socket.recv_from(&mut received) {
            Ok((length, from)) if from.ip() == target => return Ok(received[..length] == sent),
            Ok(_) => {}
            Err(error) if is_refusal_io(&error) => {}
            Err(error) => return Err(error).context("cannot receive UDP"),
        }
    }
    Ok(false)
}

fn serve(listener: &UdpSocket, done: &AtomicBool) -> Result<()> {
    let mut datagram = vec![0; DATAGRAM + 1];
    while !done.load(Ordering::Relaxed) {
        match listener.recv_from(&mut datagram) {
            Ok((length, from)) => match listener.send_to(&datagram[..length], from) {
                Err(error) if !is_refusal_io(&error) => {
                    return Err(error).context("cannot echo UDP");
                }
                _ => {}
            },
            Err(error) if is_refusal_io(&error) => {}
            Err(error) => return Err(error).context("cannot serve UDP"),
        }
    }
    Ok(())
}
