//! TCP: a connection, some mebibytes each way, checksums compared.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::{
    PAUSE, is_refusal_io,
    stream::{Checksum, Stream},
};
use crate::netns::Netns;

const STALL: Duration = Duration::from_secs(10);
const CHUNK: usize = 64 * 1024;

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The address connected to.
    pub target: IpAddr,
    /// The port; 0 takes any free one.
    pub port: u16,
    /// How many bytes each way; a multiple of 64 KiB.
    pub bytes: usize,
    /// How long to try to connect.
    pub patience: Duration,
}

/// Does everything arrive intact, both ways, over a connection from `client` to `server`?
pub fn exchange(client: &Netns, server: &Netns, what: &Exchange) -> Result<bool> {
    let listener = server.run(|| {
        let listener = TcpListener::bind((what.target, what.port))
            .with_context(|| format!("cannot listen on {}", what.target))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    let target = listener.local_addr()?;
    thread::scope(|scope| {
        // Sockets stay in the netns they were made in, so this thread needs not enter it.
        let serving = scope.spawn(move || serve(&listener, what));
        let asked_side = client.run(|| ask(target, what));
        let served_side = serving
            .join()
            .map_err(|_| anyhow!("the TCP server panicked"))??;
        Ok(match (asked_side?, served_side) {
            (Some(client), Some(server)) => {
                client.sent == server.received && server.sent == client.received
            }
            _ => false,
        })
    })
}

#[derive(Debug)]
struct Side {
    sent: Checksum,
    received: Checksum,
}

fn ask(target: SocketAddr, what: &Exchange) -> Result<Option<Side>> {
    let Some(mut stream) = connect(target, what.patience)? else {
        return Ok(None);
    };
    refused_is_none((|| {
        let sent = send(&mut stream, 1, what.bytes)?;
        stream.shutdown(Shutdown::Write)?;
        Ok(Side {
            sent,
            received: receive(&mut stream)?,
        })
    })())
}

fn serve(listener: &TcpListener, what: &Exchange) -> Result<Option<Side>> {
    let deadline = Instant::now() + what.patience + PAUSE;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if is_refusal_io(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) if is_refusal_io(&error) => return Ok(None),
            Err(error) => return Err(error).context("cannot accept"),
        }
    };
    stream.set_nonblocking(false)?;
    prepare(&stream)?;
    refused_is_none((|| {
        let received = receive(&mut stream)?;
        let sent = send(&mut stream, 2, what.bytes)?;
        stream.shutdown(Shutdown::Write)?;
        Ok(Side { sent, received })
    })())
}

fn connect(target: SocketAddr, patience: Duration) -> Result<Option<TcpStream>> {
    let deadline = Instant::now() + patience;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        match TcpStream::connect_timeout(&target, left.max(Duration::from_millis(1))) {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok(Some(stream));
            }
            // An error without a number is std's own, for a socket that hung up before it was asked why.
            Err(error) if is_refusal_io(&error) || error.raw_os_error().is_none() => {
                thread::sleep(PAUSE.min(left));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot connect to {target}")),
        }
    }
    Ok(None)
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))
}

fn send(stream: &mut TcpStream, seed: u64, bytes: usize) -> std::io::Result<Checksum> {
    let (mut content, mut sum) = (Stream::new(seed), Checksum::new());
    let mut chunk = vec![0; CHUNK];
    for _ in 0..bytes / CHUNK {
        content.fill(&mut chunk);
        sum.write(&chunk);
        stream.write_all(&chunk)?;
    }
    Ok(sum)
}

fn receive(stream: &mut TcpStream) -> std::io::Result<Checksum> {
    let mut sum = Checksum::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(sum),
            length => sum.write(&chunk[..length]),
        }
    }
}

fn refused_is_none(side: std::io::Result<Side>) -> Result<Option<Side>> {
    match side {
        Ok(side) => Ok(Some(side)),
        Err(error) if is_refusal_io(&error) => Ok(None),
        Err(error) => Err(error).context("TCP transfer"),
    }
}
