//! The maps of one loaded object, typed.

use std::{collections::BTreeMap, net::IpAddr, os::fd::AsFd as _};

use aya::{
    Ebpf,
    maps::{Array, HashMap, IterableMap, MapData, MapError, PerCpuArray, PerCpuValues, RingBuf},
    sys::SyscallError,
    util::nr_cpus,
};
use ipvlan_common::{
    AddressEntry, ChildRecord, Config, Control, REASONS, Reason, counter_index,
    index::{SlotV4, SlotV6},
    maps,
};

use super::{batch, diff::Addresses, index::Index};
use crate::model::HookPoint;

/// A map could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    /// The object has no such map.
    #[error("the eBPF object has no map `{name}`")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// The kernel refused.
    #[error("map `{name}`: {action}")]
    Kernel {
        /// Its name.
        name: &'static str,
        /// What was tried.
        action: String,
        /// Why it failed.
        source: Box<MapError>,
    },
    /// The index could not be mapped into memory.
    #[error(
        "map the arrays `{}` and `{}` into memory",
        maps::INDEX_V4,
        maps::INDEX_V6
    )]
    Index(#[source] std::io::Error),
    /// The number of CPUs is not known.
    #[error("count the possible CPUs ({path})")]
    Cpus {
        /// File that says it.
        path: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl MapsError {
    /// Whether the map has no room left (`E2BIG` of `htab_map_update_elem`).
    #[must_use]
    pub fn is_full(&self) -> bool {
        let Self::Kernel { source, .. } = self else {
            return false;
        };
        matches!(&**source, MapError::SyscallError(error)
            if error.io_error.raw_os_error() == Some(libc::E2BIG))
    }
}

/// Records of the programs, to be read as [`Event`](ipvlan_common::Event)s.
pub type Events = RingBuf<MapData>;

/// An address map of one family, with `N` bytes of address.
type AddressMap<const N: usize> = HashMap<MapData, [u8; N], AddressEntry>;

/// The maps of one loaded object.
pub struct Maps {
    capacity: usize,
    v4: AddressMap<4>,
    v6: AddressMap<16>,
    index: Index,
    /// Of which programs that are loaded later want the descriptors.
    _indexes: (Array<MapData, SlotV4>, Array<MapData, SlotV6>),
    events: Option<Events>,
    config: Array<MapData, Control>,
    counters: PerCpuArray<MapData, u64>,
    children: PerCpuArray<MapData, ChildRecord>,
}

impl Maps {
    /// Takes the maps out of a loaded object.
    pub fn take(object: &mut Ebpf) -> Result<Self, MapsError> {
        fn open<M: TryFrom<aya::maps::Map, Error = MapError>>(
            object: &mut Ebpf,
            name: &'static str,
        ) -> Result<M, MapsError> {
            let map = object.take_map(name).ok_or(MapsError::Missing { name })?;
            M::try_from(map).map_err(|source| failed(name, "open", source))
        }
        let index_v4: Array<MapData, SlotV4> = open(object, maps::INDEX_V4)?;
        let index_v6: Array<MapData, SlotV6> = open(object, maps::INDEX_V6)?;
        let index = Index::new(index_v4.map().fd(), index_v6.map().fd());
        let v4: AddressMap<4> = open(object, maps::ADDRESSES_V4)?;
        let v6: AddressMap<16> = open(object, maps::ADDRESSES_V6)?;
        let capacity = capacity(&v4, maps::ADDRESSES_V4)?.min(capacity(&v6, maps::ADDRESSES_V6)?);
        Ok(Self {
            capacity,
            v4,
            v6,
            index: index.map_err(MapsError::Index)?,
            _indexes: (index_v4, index_v6),
            events: Some(open(object, maps::EVENTS)?),
            config: open(object, maps::CONFIG)?,
            counters: open(object, maps::COUNTERS)?,
            children: open(object, maps::CHILD_COUNTERS)?,
        })
    }

    /// The events of the programs; `None` from the second call on.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// Returns how many addresses each of the address maps has room for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds or replaces addresses. Gives those that failed, and why; all others are there.
    pub fn put(&mut self, entries: &[(IpAddr, AddressEntry)]) -> BTreeMap<IpAddr, MapsError> {
        let v4 = entries
            .iter()
            .filter_map(|&(address, entry)| match address {
                IpAddr::V4(v4) => Some((v4.octets(), entry)),
                IpAddr::V6(_) => None,
            });
        let v6 = entries
            .iter()
            .filter_map(|&(address, entry)| match address {
                IpAddr::V6(v6) => Some((v6.octets(), entry)),
                IpAddr::V4(_) => None,
            });
        let mut failed = write(&self.v4, v4.unzip());
        failed.append(&mut write(&self.v6, v6.unzip()));
        for &(address, entry) in entries {
            if !failed.contains_key(&address) {
                self.index.put(address, entry);
            }
        }
        failed
    }

    /// Deletes an address. One that is not there is a success.
    pub fn remove(&mut self, address: IpAddr) -> Result<(), MapsError> {
        self.index.remove(address);
        let removed = match address {
            IpAddr::V4(v4) => self.v4.remove(&v4.octets()),
            IpAddr::V6(v6) => self.v6.remove(&v6.octets()),
        };
        match removed {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(())
            }
            Err(source) => Err(failed(map_of(address), format!("remove {address}"), source)),
        }
    }

    /// Everything in the address maps.
    pub fn addresses(&self) -> Result<Addresses, MapsError> {
        let mut addresses = read(&self.v4, maps::ADDRESSES_V4)?;
        addresses.append(&mut read(&self.v6, maps::ADDRESSES_V6)?);
        Ok(addresses)
    }

    /// Makes the indexes say what these addresses are, which must be all that the maps hold. Returns how
    /// many slots said anything else.
    pub fn fill_index(&mut self, addresses: &Addresses) -> usize {
        self.index.fill(addresses)
    }

    /// Writes both copies, first to last: see [`Control`].
    pub fn set_config(&mut self, config: Config) -> Result<(), MapsError> {
        let control = self.control()?;
        let half = Control {
            first: config,
            ..control
        };
        self.set_control(half)?;
        self.set_control(Control {
            second: config,
            ..half
        })
    }

    /// The first copy.
    pub fn config(&self) -> Result<Config, MapsError> {
        Ok(self.control()?.first)
    }

    /// Lets the programs answer until then, in ticks ([`super::deadline`]); `u64::MAX`: for ever.
    pub fn set_deadline(&mut self, deadline: u64) -> Result<(), MapsError> {
        let control = self.control()?;
        self.set_control(Control {
            deadline,
            ..control
        })
    }

    /// Returns the tick until which the programs answer.
    pub fn deadline(&self) -> Result<u64, MapsError> {
        Ok(self.control()?.deadline)
    }

    fn control(&self) -> Result<Control, MapsError> {
        self.config
            .get(&0, 0)
            .map_err(|source| failed(maps::CONFIG, "read", source))
    }

    fn set_control(&mut self, control: Control) -> Result<(), MapsError> {
        self.config
            .set(0, control, 0)
            .map_err(|source| failed(maps::CONFIG, "set", source))
    }

    /// Returns one counter of a hook point, summed over all CPUs.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn counter(&self, point: HookPoint, reason: Reason) -> Result<u64, MapsError> {
        let index = match point {
            HookPoint::Parent(hook) => counter_index(hook, reason as u8),
        };
        let values = self
            .counters
            .get(&index, 0)
            .map_err(|source| failed(maps::COUNTERS, "read", source))?;
        Ok(values.iter().sum())
    }

    /// The counters of a hook point that are not zero, summed over all CPUs.
    pub fn counters(&self, point: HookPoint) -> Result<BTreeMap<Reason, u64>, MapsError> {
        let mut counters = BTreeMap::new();
        for &reason in REASONS {
            let sum = self.counter(point, reason)?;
            if sum > 0 {
                counters.insert(reason, sum);
            }
        }
        Ok(counters)
    }

    /// Returns what all CPUs have recorded of a child; nothing for a slot past the map's end.
    pub fn child_record(&self, slot: u32) -> Result<ChildRecord, MapsError> {
        if slot >= self.children.len() {
            return Ok(ChildRecord::default());
        }
        let values = self
            .children
            .get(&slot, 0)
            .map_err(|source| failed(maps::CHILD_COUNTERS, "read", source))?;
        Ok(values
            .iter()
            .copied()
            .fold(ChildRecord::default(), ChildRecord::merged))
    }

    /// Clears the record of a child.
    pub fn reset_child_counters(&mut self, slot: u32) -> Result<(), MapsError> {
        let cpus = nr_cpus().map_err(|(path, source)| MapsError::Cpus { path, source })?;
        let values =
            PerCpuValues::try_from(vec![ChildRecord::default(); cpus]).map_err(|source| {
                MapsError::Cpus {
                    path: "one value per CPU",
                    source,
                }
            })?;
        self.children
            .set(slot, values, 0)
            .map_err(|source| failed(maps::CHILD_COUNTERS, format!("reset {slot}"), source))
    }
}

/// Name of the map that holds this address.
const fn map_of(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => maps::ADDRESSES_V4,
        IpAddr::V6(_) => maps::ADDRESSES_V6,
    }
}

fn capacity<const N: usize>(map: &AddressMap<N>, name: &'static str) -> Result<usize, MapsError>
where
    [u8; N]: aya::Pod,
{
    let info = IterableMap::map(map).info();
    let entries = info.map_err(|source| failed(name, "read the size", source))?;
    Ok(entries.max_entries() as usize)
}

fn read<const N: usize>(map: &AddressMap<N>, name: &'static str) -> Result<Addresses, MapsError>
where
    [u8; N]: aya::Pod + Default + Into<IpAddr>,
{
    let map = IterableMap::map(map).fd().as_fd();
    let entries = batch::read::<[u8; N], AddressEntry>(map).map_err(|io_error| {
        let call = "bpf_map_lookup_batch";
        failed(name, "read", SyscallError { call, io_error }.into())
    })?;
    let entries = entries.into_iter();
    Ok(entries
        .map(|(address, entry)| (address.into(), entry))
        .collect())
}

/// Gives the addresses that could not be written, and why.
fn write<const N: usize>(
    map: &AddressMap<N>,
    (keys, values): (Vec<[u8; N]>, Vec<AddressEntry>),
) -> BTreeMap<IpAddr, MapsError>
where
    [u8; N]: aya::Pod + Into<IpAddr>,
{
    let map = IterableMap::map(map).fd().as_fd();
    let errors = batch::write(map, &keys, &values).into_iter();
    errors
        .map(|(at, io_error)| {
            let address = keys[at].into();
            let call = "bpf_map_update_batch";
            let error = SyscallError { call, io_error }.into();
            let error = failed(map_of(address), format!("put {address}"), error);
            (address, error)
        })
        .collect()
}

fn failed(name: &'static str, action: impl Into<String>, source: MapError) -> MapsError {
    MapsError::Kernel {
        name,
        action: action.into(),
        source: Box::new(source),
    }
}
