//! A BPF filesystem of a test's own, and what agents pinned there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aya::{
    maps::{Array, Map, MapData, PerCpuArray},
    programs::links::{FdLink, PinnedLink},
};
use ipvlan_common::{Control, Hook, LAYOUT, Reason, counter_index, maps};
use ipvlan_tests::agent;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{HOST_IP, PATIENCE, Topology};

/// Unmounted when dropped, and with it goes all that is pinned there.
#[derive(Debug)]
pub(crate) struct Bpffs(PathBuf);

impl Bpffs {
    pub(crate) fn mount() -> Self {
        let mounted = agent::new_runtime_dir().with_extension("bpf");
        fs::create_dir(&mounted).unwrap();
        let (bpf, options) = (Some("bpf"), Some("mode=0700"));
        mount(bpf, &mounted, bpf, MsFlags::empty(), options).unwrap();
        Self(mounted)
    }

    pub(crate) fn read_only(&self) {
        let none = None::<&str>;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, &self.0, none, flags, none).unwrap();
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// What agents are given as `--pin-dir`.
    pub(crate) fn pin_dir(&self) -> PathBuf {
        self.0.join("ipvlan")
    }

    /// Everything below [`Self::pin_dir`], sorted; netns and ifindex left out.
    pub(crate) fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.pin_dir(), "", &mut found);
        found.sort();
        found
    }

    /// The directory of the only parent.
    pub(crate) fn parent(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.pin_dir()).unwrap();
        let path = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none(), "more than one parent");
        path
    }

    /// Where its maps are.
    pub(crate) fn maps(&self) -> PathBuf {
        self.parent().join(format!("v{LAYOUT}"))
    }

    /// Id of the link that is pinned under this name.
    pub(crate) fn link_id(&self, name: &str) -> u32 {
        let link = FdLink::from(PinnedLink::from_pin(self.parent().join(name)).unwrap());
        link.info().unwrap().id()
    }

    /// How often ingress counted `reason`, read without an agent.
    pub(crate) fn counted(&self, reason: Reason) -> u64 {
        let map = MapData::from_pin(self.maps().join(maps::COUNTERS)).unwrap();
        let map: PerCpuArray<_, u64> = Map::PerCpuArray(map).try_into().unwrap();
        let index = counter_index(Hook::Ingress, reason as u8);
        map.get(&index, 0).unwrap().iter().sum()
    }

    /// The programs look at the LAN's requests.
    #[track_caller]
    pub(crate) fn assert_programs_run(&self, net: &Topology) {
        let before = self.counted(Reason::HostAddress);
        assert!(net.arp(HOST_IP, PATIENCE).is_some());
        assert!(self.counted(Reason::HostAddress) > before);
    }

    /// Lets the programs answer until then, as an agent would.
    pub(crate) fn set_deadline(&self, deadline: u64) {
        let map = MapData::from_pin(self.maps().join(maps::CONFIG)).unwrap();
        let mut map: Array<_, Control> = Map::Array(map).try_into().unwrap();
        let control = map.get(&0, 0).unwrap();
        let control = Control {
            deadline,
            ..control
        };
        map.set(0, control, 0).unwrap();
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // A test that failed may still have an agent that holds it.
        let _unmounted = umount2(&self.0, MntFlags::MNT_DETACH);
        let _removed = fs::remove_dir(&self.0);
    }
}

fn walk(path: &Path, shown: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(path).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let name = match shown {
            "" => name.rsplitn(3, '-').last().unwrap().to_owned(),
            _ => format!("{shown}/{name}"),
        };
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &name, found);
        }
        found.push(name);
    }
}
