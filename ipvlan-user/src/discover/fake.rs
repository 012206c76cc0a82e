//! A kernel of a few netns, whose answers can be made faulty: for tests of the readers as a whole.

mod message;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_MULTIPART, NLMSG_DONE, NLMSG_ERROR};

use self::message::{
    Fault, HEADER, OWN, PARENT, Row, address_rows, error, link_row, message, nsid_row, spoil,
};
use super::{Discover, Part, Renewed, Scope, netns::Netnses};
use crate::{
    facts::{NetnsId, Snapshot},
    netlink::{
        NetlinkError, Rtnl,
        attribute::{attributes, i32_value, text_value, u16_at, u32_at},
        socket::Channel,
    },
};

/// Netns whose answers are never faulty: one with a child of few addresses, and one with many children.
const GOOD: [i32; 2] = [1, 3];
/// Netns whose answers may be: one with a child, and one with none but many links.
const HOSTILE: [i32; 2] = [2, 4];

/// What the kernel holds.
#[derive(Debug, Default)]
struct World {
    netnses: BTreeMap<i32, Vec<Row>>,
    faults: BTreeMap<i32, Fault>,
}

impl World {
    fn new() -> Self {
        let child = |ifindex: u32, name: &[u8], addresses: u8| Row {
            ifindex,
            name: name.to_owned(),
            is_child: true,
            addresses: (0..addresses)
                .map(|number| Ipv4Addr::new(10, ifindex.to_be_bytes()[3], number, 1).into())
                .collect(),
        };
        let other = |ifindex: u32, name: &[u8]| Row {
            is_child: false,
            ..child(ifindex, name, 1)
        };
        let mut netnses = BTreeMap::new();
        netnses.insert(OWN, vec![other(1, b"lo"), other(PARENT, b"parent0")]);
        netnses.insert(1, vec![other(1, b"lo"), child(7, b"eth0", 2)]);
        netnses.insert(2, vec![other(1, b"lo"), child(8, b"\xff\x1b", 9)]);
        let many = (10..20).map(|ifindex| child(ifindex, b"many", 3));
        netnses.insert(3, many.collect());
        netnses.insert(4, (1..40).map(|ifindex| other(ifindex, b"veth")).collect());
        Self {
            netnses,
            faults: BTreeMap::new(),
        }
    }

    /// What a snapshot shows of the children of a netns, in order.
    fn expected(&self, nsid: i32) -> Vec<(u32, Vec<u8>, BTreeSet<IpAddr>)> {
        let rows = self.netnses.get(&nsid).into_iter().flatten();
        rows.filter(|row| row.is_child)
            .map(|row| (row.ifindex, row.name.clone(), row.addresses.clone()))
            .collect()
    }

    /// The datagrams that answer a request.
    fn answer(&self, request: &[u8]) -> Option<Vec<io::Result<Vec<u8>>>> {
        let (kind, flags) = (u16_at(request, 4)?, u16_at(request, 6)?);
        let sequence = u32_at(request, 8)?;
        let payload = request.get(HEADER..)?;
        let is_dump = flags & NLM_F_DUMP == NLM_F_DUMP;
        let find = |header: usize, wanted: u16| {
            let mut all = attributes(payload.get(header..)?).flatten();
            all.find(|&(kind, _)| kind == wanted)
                .map(|(_, value)| value)
        };
        let mut nsid = OWN;
        let rows: Vec<Vec<u8>> = match kind {
            libc::RTM_GETLINK => {
                nsid = find(16, libc::IFLA_TARGET_NETNSID)
                    .map_or(Some(OWN), |value| i32_value(value).ok())?;
                let info = find(16, libc::IFLA_LINKINFO);
                let kind = info.and_then(|info| attributes(info).flatten().next());
                let is_filtered = kind.is_some_and(|(_, kind)| text_value(kind) == "ipvlan");
                let rows = self.netnses.get(&nsid);
                let rows = rows.map(|rows| rows.iter().filter(|row| row.is_child || !is_filtered));
                rows.map(|rows| rows.map(link_row).collect())
            }
            libc::RTM_GETADDR => {
                nsid =
                    find(8, IFA_TARGET_NETNSID).map_or(Some(OWN), |value| i32_value(value).ok())?;
                let (family, ifindex) = (payload[0], u32_at(payload, 4)?);
                let rows = self.netnses.get(&nsid);
                let rows = rows.map(|rows| {
                    let of_link = |row: &&Row| ifindex == 0 || row.ifindex == ifindex;
                    rows.iter().filter(of_link).flat_map(address_rows)
                });
                rows.map(|rows| {
                    let of_family = |row: &Vec<u8>| family == 0 || row[0] == family;
                    rows.filter(of_family).collect()
                })
            }
            RTM_GETNSID if is_dump => Some(self.netnses.keys().copied().map(nsid_row).collect()),
            RTM_GETNSID => {
                let asked = find(4, 1).and_then(|value| i32_value(value).ok());
                let known = asked.filter(|nsid| self.netnses.contains_key(nsid));
                return Some(vec![match known {
                    Some(nsid) => Ok([
                        message(RTM_NEWNSID, 0, sequence, &nsid_row(nsid)),
                        message(NLMSG_ERROR, 0, sequence, &[0; 20]),
                    ]
                    .concat()),
                    None => Ok(error(libc::ENOENT, sequence)),
                }]);
            }
            // Routes and neighbours: none.
            _ => Some(Vec::new()),
        }
        .unwrap_or_default();
        if !self.netnses.contains_key(&nsid) {
            return Some(vec![Ok(error(libc::EINVAL, sequence))]);
        }
        let mut datagrams: Vec<io::Result<Vec<u8>>> = rows
            .chunks(3)
            .map(|rows| {
                let rows = rows
                    .iter()
                    .map(|row| message(kind - 2, NLM_F_MULTIPART, sequence, row));
                Ok(rows.collect::<Vec<_>>().concat())
            })
            .collect();
        datagrams.push(Ok(message(NLMSG_DONE, NLM_F_MULTIPART, sequence, &[0; 4])));
        if let Some(&fault) = self.faults.get(&nsid) {
            spoil(&mut datagrams, fault, sequence);
        }
        Some(datagrams)
    }
}

const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const IFA_TARGET_NETNSID: u16 = 10;

/// Decodes a row, or a datagram of events, in every way there is.
pub fn decode(row: &[u8]) {
    use super::{address, link, nexthop, nsid_row, route, wake};

    let _row_or_error = link::decode_link(row);
    let _row_or_error = address::decode_address(row);
    let _row_or_error = route::decode_route(row);
    let _row_or_error = nexthop::decode_next_hop(row);
    let _row_or_error = nsid_row::decode_nsid(row);
    let known = wake::KnownRoutes::default();
    let _was_complete = wake::Wake::default().add_events(Some(1), row, &known);
}

/// Answers as the world is when a request is sent.
#[derive(Debug)]
struct FakeChannel {
    world: Arc<Mutex<World>>,
    answer: VecDeque<io::Result<Vec<u8>>>,
}

impl Channel for FakeChannel {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let answer = locked(&self.world).answer(request);
        self.answer
            .extend(answer.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.answer.pop_front().ok_or(io::ErrorKind::WouldBlock)??;
        let fits = datagram.len().min(buffer.len());
        buffer[..fits].copy_from_slice(&datagram[..fits]);
        Ok(datagram.len())
    }

    fn reset(&mut self) -> Result<(), NetlinkError> {
        self.answer.clear();
        Ok(())
    }
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn discover(world: &Arc<Mutex<World>>) -> Discover {
    let channel = FakeChannel {
        world: Arc::clone(world),
        answer: VecDeque::new(),
    };
    Discover::over(Rtnl::over(Box::new(channel)), Netnses::with_own(OWN))
}

/// Checks that netns show as they are.
fn check(world: &Mutex<World>, snapshot: &Snapshot, nsids: &[i32]) {
    let world = locked(world);
    for &nsid in nsids {
        let children = snapshot.children_of(NetnsId::Nsid(nsid));
        let seen: Vec<_> = children
            .iter()
            .map(|child| {
                let addresses = child.addresses.iter().map(|address| address.local);
                let name = child.name.as_bytes().to_owned();
                (child.ifindex, name, addresses.collect::<BTreeSet<_>>())
            })
            .collect();
        assert_eq!(seen, world.expected(nsid), "netns {nsid}");
    }
}

/// Reads a kernel again and again in every way, while the answers about some netns are spoiled as `script` says: six
/// bytes for each step. Panics if a fault has an effect on another netns, or lasts longer than it is there.
pub fn a_fault_in_one_netns_stays_there(script: &[u8]) {
    let world = Arc::new(Mutex::new(World::new()));
    let mut discover = discover(&world);
    let all: BTreeMap<NetnsId, Part> = GOOD
        .into_iter()
        .chain(HOSTILE)
        .map(|nsid| (NetnsId::Nsid(nsid), Part::Links))
        .collect();
    let mut snapshot = Snapshot::default();
    let mut is_first = true;
    for step in script.chunks_exact(6) {
        let &[way, whose, kind, first, second, change] = step else {
            continue;
        };
        {
            let mut world = locked(&world);
            world.faults.clear();
            for (bit, nsid) in HOSTILE.into_iter().enumerate() {
                if whose & (1 << bit) != 0 {
                    world.faults.insert(nsid, Fault::new(kind, first, second));
                }
            }
            let good = GOOD[usize::from(change) % GOOD.len()];
            if let Some(row) = world
                .netnses
                .get_mut(&good)
                .and_then(|rows| rows.last_mut())
            {
                let address = Ipv6Addr::from_bits(u128::from(change)).into();
                if !row.addresses.remove(&address) {
                    row.addresses.insert(address);
                }
            }
        }
        let before = snapshot.clone();
        let renewed = if is_first || way % 5 == 0 {
            let first = discover.first(Scope::KnownNetns, Duration::ZERO);
            let (first, renewed) = first.unwrap_or_else(|error| panic!("{error:?}"));
            snapshot = first;
            for id in &snapshot.unread {
                assert!(renewed.dirty.contains_key(id));
                assert_eq!(snapshot.children_of(*id), []);
            }
            renewed
        } else {
            let renewed = read(&mut discover, &mut snapshot, &all, way);
            for id in renewed.dirty.keys() {
                assert_eq!(snapshot.children_of(*id), before.children_of(*id));
            }
            renewed
        };
        is_first = false;
        assert!(
            renewed
                .failures
                .keys()
                .all(|id| renewed.dirty.contains_key(id))
        );
        for nsid in GOOD {
            assert!(
                !renewed.dirty.contains_key(&NetnsId::Nsid(nsid)),
                "{renewed:?}"
            );
        }
        check(&world, &snapshot, &GOOD);
        assert_eq!(snapshot.links.len(), 2);
        for (id, failure) in &renewed.failures {
            let is_known_old = snapshot.unread.contains(id) || snapshot.outdated.contains(id);
            let has_children = !snapshot.children_of(*id).is_empty();
            assert!(
                is_known_old || failure.is_transient || !has_children,
                "{renewed:?}"
            );
        }
        for nsid in GOOD {
            assert!(!snapshot.outdated.contains(&NetnsId::Nsid(nsid)));
        }
    }
    locked(&world).faults.clear();
    let renewed = read(&mut discover, &mut snapshot, &all, 2);
    assert!(renewed.dirty.is_empty(), "{renewed:?}");
    check(&world, &snapshot, &GOOD);
    check(&world, &snapshot, &HOSTILE);
    assert!(snapshot.unread.is_empty() && snapshot.outdated.is_empty());
}

fn read(
    discover: &mut Discover,
    snapshot: &mut Snapshot,
    all: &BTreeMap<NetnsId, Part>,
    way: u8,
) -> Renewed {
    let renewed = match way % 5 {
        1 => discover.renew(snapshot, all, None),
        2 => discover.renew_all(snapshot, Scope::KnownNetns, None),
        3 => {
            let parts = all.keys().map(|&id| (id, Part::Addresses)).collect();
            discover.renew(snapshot, &parts, None)
        }
        _ => discover.begin(snapshot, Scope::KnownNetns).and_then(|_| {
            loop {
                let chunk = Duration::from_secs(1);
                if let Some(renewed) = discover.read_chunk(snapshot, chunk, None)? {
                    return Ok(renewed);
                }
            }
        }),
    };
    renewed.unwrap_or_else(|error| panic!("{error:?}"))
}

#[cfg(test)]
mod tests;
