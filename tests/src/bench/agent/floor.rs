//! The least that this machine needs: an address is added, a socket receives the event and dumps the addresses of that
//! netns. No agent is faster.

use std::{
    net::Ipv4Addr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::crowd::Crowd;
use crate::netlink::Netlink;

const BETWEEN_SAMPLES: Duration = Duration::from_millis(50);

/// Adds an address to `device` of every netns of the crowd.
pub(super) fn measure(crowd: &Crowd, device: &str) -> Result<Vec<Duration>> {
    let events = crowd.site.host.run(subscribe)?;
    let (done, ends) = mpsc::channel();
    let (netnses, next) = mpsc::channel::<Netlink>();
    let listener = thread::spawn(move || -> Result<()> {
        for netns in next {
            events.recv_from_full().context("cannot receive events")?;
            netns.dump_addresses()?;
            done.send(Instant::now())?;
        }
        Ok(())
    });
    let mut times = Vec::new();
    for (number, child) in crowd.children.iter().enumerate() {
        let address = Ipv4Addr::new(172, 18, u8::try_from(number)?, 1);
        let (netlink, dumper) = child.run(|| Ok((Netlink::open()?, Netlink::open()?)))?;
        netnses.send(dumper)?;
        thread::sleep(BETWEEN_SAMPLES);
        child.run(|| netlink.add_address(device, address, 24))?;
        let added = Instant::now();
        times.push(ends.recv()?.saturating_duration_since(added));
    }
    drop(netnses);
    listener
        .join()
        .map_err(|_| anyhow!("the listener panicked"))??;
    Ok(times)
}

/// Receives the events of addresses in every netns that has an nsid here.
fn subscribe() -> Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_listen_all_namespaces(true)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.add_membership(libc::RTNLGRP_IPV4_IFADDR)?;
    Ok(socket)
}
