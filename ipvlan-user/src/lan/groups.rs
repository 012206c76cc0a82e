//! The solicited-node groups that the parent is a member of for its children.
//!
//! l3 and l3s children join no group on the parent, so its NIC and the switches drop solicitations
//! for them. Addresses that share their low 24 bits want the same one.
//!
//! A membership is the kernel's: it reports to the switches (MLD), again after the parent was down,
//! and gives it up when the agent ends, however it ends.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv6Addr, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tracing::debug;

use super::{
    frame::{Mac, multicast_mac},
    socket::PacketSocket,
};

/// Below it a device has no IPv6, and forgets all memberships (RFC 8200 §5; `IPV6_MIN_MTU`).
const MIN_MTU: u32 = 1280;

/// The memberships of one parent.
#[derive(Debug)]
pub struct Groups {
    ifindex: u32,
    /// One has room for only some hundred memberships (`net.core.optmem_max`).
    sockets: Vec<Member>,
    /// Groups whose MAC only the NIC knows, since IPv6 is off on the parent.
    filtered: BTreeSet<Ipv6Addr>,
    filter: Option<PacketSocket>,
    /// Groups that could not be joined at all, and why the last one could not.
    missing: usize,
    failure: Option<io::Error>,
}

#[derive(Debug)]
struct Member {
    socket: UdpSocket,
    groups: BTreeSet<Ipv6Addr>,
    full: bool,
}

impl Groups {
    /// No membership, on the interface with this ifindex in the netns of the calling thread.
    #[must_use]
    pub const fn new(ifindex: u32) -> Self {
        Self {
            ifindex,
            sockets: Vec::new(),
            filtered: BTreeSet::new(),
            filter: None,
            missing: 0,
            failure: None,
        }
    }

    /// Joins what is wanted, tries again what failed before, leaves what is wanted no more. `mtu` is
    /// the parent's.
    pub fn update(&mut self, wanted: &BTreeSet<Ipv6Addr>, mtu: u32) {
        if mtu < MIN_MTU {
            // The kernel took them away, and would not take them for new ones (EADDRINUSE).
            self.sockets.clear();
        }
        for member in &mut self.sockets {
            member.leave_others(wanted, self.ifindex);
        }
        self.sockets.retain(|member| !member.groups.is_empty());
        let others: Vec<Ipv6Addr> = self.filtered.difference(wanted).copied().collect();
        for group in others {
            self.unfilter(group);
        }
        self.missing = 0;
        self.failure = None;
        let mut refusal = None;
        let joined = self.sockets.iter().flat_map(|member| &member.groups);
        let joined: BTreeSet<Ipv6Addr> = joined.copied().collect();
        for &group in wanted.difference(&joined) {
            // What one was refused for, all are.
            if refusal.is_none() {
                match self.join(group) {
                    Ok(()) => {
                        self.unfilter(group);
                        continue;
                    }
                    Err(failure) => {
                        debug!(%group, "not joined: {failure}");
                        refusal = Some(failure);
                    }
                }
            }
            if let Err(failure) = self.filter(group) {
                self.missing += 1;
                self.failure = Some(failure);
            }
        }
        if self.filtered.is_empty() {
            self.filter = None;
        }
    }

    /// Returns how many groups the parent is a member of, those that only the NIC knows included.
    #[must_use]
    pub fn len(&self) -> usize {
        let joined: usize = self.sockets.iter().map(|member| member.groups.len()).sum();
        joined + self.filtered.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many sockets hold them.
    #[must_use]
    pub const fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Returns whether some groups could not be joined at all.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Returns whether some groups are missing or only filtered: they are tried again at every update.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.has_failed() || !self.filtered.is_empty()
    }

    /// Returns a note for `status`.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(format!(
                "{} solicited-node groups could not be joined, solicitations for their addresses may \
                 not arrive: {failure}",
                self.missing
            ));
        }
        (!self.filtered.is_empty()).then(|| {
            format!(
                "IPv6 is off on the parent: its NIC receives {} solicited-node groups, but switches \
                 that snoop MLD receive no report",
                self.filtered.len()
            )
        })
    }

    fn join(&mut self, group: Ipv6Addr) -> io::Result<()> {
        for member in &mut self.sockets {
            if !member.full && member.join(group, self.ifindex)? {
                return Ok(());
            }
        }
        let mut member = Member::new()?;
        if !member.join(group, self.ifindex)? {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.sockets.push(member);
        Ok(())
    }

    fn filter(&mut self, group: Ipv6Addr) -> io::Result<()> {
        if self.filtered.contains(&group) {
            return Ok(());
        }
        let socket = match &mut self.filter {
            Some(socket) => socket,
            none => none.insert(PacketSocket::open(self.ifindex)?),
        };
        let mac = multicast_mac(group);
        membership(socket, libc::PACKET_ADD_MEMBERSHIP, self.ifindex, mac)?;
        self.filtered.insert(group);
        Ok(())
    }

    fn unfilter(&mut self, group: Ipv6Addr) {
        if !self.filtered.remove(&group) {
            return;
        }
        // Several groups never share a MAC: both have the low 24 bits of the address.
        if let Some(socket) = &self.filter {
            let mac = multicast_mac(group);
            if let Err(failure) =
                membership(socket, libc::PACKET_DROP_MEMBERSHIP, self.ifindex, mac)
            {
                debug!(%group, "still received: {failure}");
            }
        }
    }
}

impl Member {
    fn new() -> io::Result<Self> {
        // Not bound: it has no port, and receives nothing.
        let socket: OwnedFd = socket(
            AddressFamily::Inet6,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        Ok(Self {
            socket: UdpSocket::from(socket),
            groups: BTreeSet::new(),
            full: false,
        })
    }

    /// Returns whether there was room.
    fn join(&mut self, group: Ipv6Addr, ifindex: u32) -> io::Result<bool> {
        match self.socket.join_multicast_v6(&group, ifindex) {
            Ok(()) => {
                self.groups.insert(group);
                Ok(true)
            }
            // `sock_kmalloc` in `__ipv6_sock_mc_join`; older and newer kernels differ in the number.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS)) => {
                self.full = true;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn leave_others(&mut self, wanted: &BTreeSet<Ipv6Addr>, ifindex: u32) {
        let Self {
            socket,
            groups,
            full,
        } = self;
        groups.retain(|group| {
            if wanted.contains(group) {
                return true;
            }
            *full = false;
            // Not a member any more is what we want.
            if let Err(failure) = socket.leave_multicast_v6(group, ifindex) {
                debug!(%group, "was left already: {failure}");
            }
            false
        });
    }
}

/// Adds a MAC to what the NIC receives, or takes it away.
fn membership(
    socket: &PacketSocket,
    option: libc::c_int,
    ifindex: u32,
    mac: Mac,
) -> io::Result<()> {
    let mut address = [0; 8];
    address[..mac.len()].copy_from_slice(&mac);
    let request = libc::packet_mreq {
        mr_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        mr_type: u16::try_from(libc::PACKET_MR_MULTICAST).map_err(io::Error::other)?,
        mr_alen: 6,
        mr_address: address,
    };
    let length = u32::try_from(size_of_val(&request)).map_err(io::Error::other)?;
    // SAFETY: `request` is a packet_mreq of the length that is passed, and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const request).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
