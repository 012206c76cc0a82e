//! TCP between host and child: what a byte costs of a long stream, and a round trip of one byte.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{
    Bench, INSTRUCTIONS, as_float,
    row::Row,
    site::{HOST_V4, Kind, SHIM_V4, Site, packets, v4},
};
use crate::{demo::mode::Mode, lab::Lab, netns::Netns};

/// What a byte may cost beside one through a shim.
const BULK: f64 = 1.02;
const BYTES: usize = 16 << 20;
const CHUNK: usize = 1 << 16;
const ROUND_TRIPS: u32 = 1000;
const REPEATS: usize = 3;
const PER_BYTE: &str = "instructions per byte";

/// What both ways cost: instructions per byte, bytes per packet, instructions per round trip.
struct Costs {
    bulk: f64,
    packet: f64,
    round_trip: f64,
}

/// Host and child talk, by the agent and through a shim.
pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    for mode in [Mode::L3, Mode::L2] {
        let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
        site.add_shim()?;
        let shim = both_ways(&site, SHIM_V4).context("by a shim")?;
        drop(site);
        let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
        let agent = bench.agent(&site, &[])?;
        let ours = both_ways(&site, HOST_V4).context("by the agent")?;
        agent.stop()?;
        for (way, (shim, ours)) in ["host to child", "child to host"]
            .into_iter()
            .zip(shim.into_iter().zip(ours))
        {
            tell(bench, &format!("TCP {way}, {mode}"), &shim, &ours)?;
        }
    }
    Ok(())
}

fn tell(bench: &Bench, path: &str, shim: &Costs, ours: &Costs) -> Result<()> {
    let variants = [("ipvlan shim", shim), ("agent", ours)];
    for (variant, costs) in variants {
        let row = Row::new(path, variant, 1, costs.bulk, PER_BYTE).beside(shim.bulk);
        bench.tell(&if variant == "agent" {
            row.at_most(BULK)
        } else {
            row
        })?;
    }
    for (variant, costs) in variants {
        let path = format!("{path}, a packet");
        bench.tell(&Row::new(path, variant, 1, costs.packet, "bytes").beside(shim.packet))?;
    }
    for (variant, costs) in variants {
        let path = format!("{path}, a round trip");
        let row = Row::new(path, variant, 1, costs.round_trip, INSTRUCTIONS);
        bench.tell(&row.beside(shim.round_trip))?;
    }
    Ok(())
}

/// From the host to the child, and back.
fn both_ways(site: &Site, host: Ipv4Addr) -> Result<[Costs; 2]> {
    let (child, device) = site.child(0)?;
    let costs = |client: &Netns, server: &Netns, address, counter: &str| {
        let before = packets(child, &device, counter, "packets")?;
        let bulk = least(|| bulk(client, server, address))?;
        let passed = packets(child, &device, counter, "packets")? - before;
        Ok::<_, anyhow::Error>(Costs {
            bulk,
            packet: as_float((BYTES * (REPEATS + 1)) as u64)? / as_float(passed)?,
            round_trip: least(|| round_trip(client, server, address))?,
        })
    };
    Ok([
        costs(&site.host, child, v4(0), "rx")?,
        costs(child, &site.host, host, "tx")?,
    ])
}

/// Of some runs after a first.
fn least(run: impl Fn() -> Result<f64>) -> Result<f64> {
    run()?;
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS {
        least = least.min(run()?);
    }
    Ok(least)
}

/// Nanoseconds per byte of one stream; all of it has to arrive.
fn bulk(client: &Netns, server: &Netns, address: Ipv4Addr) -> Result<f64> {
    let (mut writer, mut reader) = connected(client, server, address)?;
    let started = Instant::now();
    let received = thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            let mut buffer = vec![0; CHUNK];
            let mut received = 0;
            loop {
                match reader.read(&mut buffer)? {
                    0 => return Ok::<_, std::io::Error>(received),
                    length => received += length,
                }
            }
        });
        let chunk = vec![0x5a; CHUNK];
        for _ in 0..BYTES / CHUNK {
            writer.write_all(&chunk)?;
        }
        drop(writer);
        let received = receiving
            .join()
            .map_err(|_| anyhow!("the reader panicked"))?;
        received.context("cannot read")
    })?;
    let taken = started.elapsed();
    ensure!(received == BYTES, "{received} of {BYTES} bytes arrived");
    Ok(nanoseconds(taken)? / as_float(BYTES as u64)?)
}

/// Nanoseconds per question of one byte that is answered by one.
fn round_trip(client: &Netns, server: &Netns, address: Ipv4Addr) -> Result<f64> {
    let (mut near, mut far) = connected(client, server, address)?;
    let started = Instant::now();
    thread::scope(|scope| {
        let answering = scope.spawn(move || {
            let mut byte = [0];
            for _ in 0..ROUND_TRIPS {
                far.read_exact(&mut byte)?;
                far.write_all(&byte)?;
            }
            Ok::<_, std::io::Error>(())
        });
        for number in 0..ROUND_TRIPS {
            let [.., question] = number.to_be_bytes();
            let mut answer = [0];
            near.write_all(&[question])?;
            near.read_exact(&mut answer)?;
            ensure!(answer == [question], "a wrong answer");
        }
        let answered = answering
            .join()
            .map_err(|_| anyhow!("the answerer panicked"))?;
        answered.context("cannot answer")
    })?;
    Ok(nanoseconds(started.elapsed())? / f64::from(ROUND_TRIPS))
}

fn connected(client: &Netns, server: &Netns, address: Ipv4Addr) -> Result<(TcpStream, TcpStream)> {
    let listener = server.run(|| {
        TcpListener::bind((address, 0)).with_context(|| format!("cannot listen on {address}"))
    })?;
    let target = listener.local_addr()?;
    let client = client.run(|| {
        TcpStream::connect(target).with_context(|| format!("cannot connect to {target}"))
    })?;
    let (server, _) = listener.accept()?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    Ok((client, server))
}

fn nanoseconds(time: std::time::Duration) -> Result<f64> {
    as_float(u64::try_from(time.as_nanos())?)
}
