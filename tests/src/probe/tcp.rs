//! TCP: a connection, some mebibytes each way, every byte compared.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::{PAUSE, is_refusal_io, stream::Stream};
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
        Ok(asked_side? && served_side)
    })
}

/// Seeds of what client and server send.
const CLIENT: u64 = 1;
const SERVER: u64 = 2;

/// Sends and receives; returns whether what was received is intact.
fn ask(target: SocketAddr, what: &Exchange) -> Result<bool> {
    let Some(mut stream) = connect(target, what.patience)? else {
        return Ok(false);
    };
    refused_is_false((|| {
        send(&mut stream, CLIENT, what.bytes)?;
        receive(&mut stream, SERVER, what.bytes)
    })())
}

/// Receives and sends; returns whether what was received is intact.
fn serve(listener: &TcpListener, what: &Exchange) -> Result<bool> {
    let deadline = Instant::now() + what.patience + PAUSE;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if is_refusal_io(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) if is_refusal_io(&error) => return Ok(false),
            Err(error) => return Err(error).context("cannot accept"),
        }
    };
    stream.set_nonblocking(false)?;
    prepare(&stream)?;
    refused_is_false((|| {
        let is_intact = receive(&mut stream, CLIENT, what.bytes)?;
        send(&mut stream, SERVER, what.bytes)?;
        Ok(is_intact)
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))
}

/// Sends everything, and the end of it.
fn send(stream: &mut TcpStream, seed: u64, bytes: usize) -> io::Result<()> {
    let (mut content, mut chunk) = (Stream::new(seed), vec![0; CHUNK]);
    for _ in 0..bytes / CHUNK {
        content.fill(&mut chunk);
        stream.write_all(&chunk)?;
    }
    stream.shutdown(Shutdown::Write)
}

/// Receives to the end; returns whether it is what the other side sends.
fn receive(stream: &mut TcpStream, seed: u64, bytes: usize) -> io::Result<bool> {
    let (mut expected, mut received) = (vec![0; bytes], Vec::new());
    Stream::new(seed).fill(&mut expected);
    stream.read_to_end(&mut received)?;
    Ok(received == expected)
}

fn refused_is_false(intact: io::Result<bool>) -> Result<bool> {
    match intact {
        Err(error) if is_refusal_io(&error) => Ok(false),
        intact => intact.context("TCP transfer"),
    }
}
