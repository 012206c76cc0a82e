//! Children and the netns they are in: found, followed, forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    fs, io,
};

use ipvlan_common::Reason;
use ipvlan_user::{
    discover::{Scope, Watch},
    facts::{NetnsId, Snapshot},
    model::{Policy, Rule, desired},
};

use super::lab::{
    PARENT, Unnamed, address, child_kind, child_mode, child_names, discover, everything, ifindex,
    in_fresh_netns, ip, known, snapshot_until, wake_until,
};

#[test]
fn finds_a_child_created_in_an_unnamed_netns_and_forgets_it_with_the_netns() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        assert!(everything(&mut discover).children.is_empty());

        let netns = Unnamed::new();
        netns.create_child("child0");
        wake_until(&mut watch, "a child created elsewhere", |wake| {
            wake.anywhere().links
        })
        .await;
        let snapshot = snapshot_until(&mut watch, &mut discover, "the child", |snapshot| {
            child_names(snapshot).contains("child0")
        })
        .await;
        let child = &snapshot.children[0];
        assert_eq!(child.parent_ifindex, ifindex(&snapshot, PARENT));
        assert!(!child.up);
        assert_eq!(child.kind.port().unwrap().mode, child_mode());
        assert!(matches!(child.netns, NetnsId::Nsid(_)), "{child:?}");
        let found = snapshot.netns(child.netns).expect("its netns");
        assert_eq!(found.pid, Some(netns.pid()));
        assert!(found.names.is_empty(), "{found:?}");
        assert!(found.inode.is_some());

        let id = child.netns;
        drop(netns);
        // The kernel tells of the end of the child first, and then of that of its netns.
        snapshot_until(&mut watch, &mut discover, "the end", |snapshot| {
            snapshot.children.is_empty() && snapshot.netns(id).is_none()
        })
        .await;
    });
}

#[test]
fn follows_a_child_through_three_netns() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let (first, second) = (Unnamed::new(), Unnamed::new());
        ip(&format!(
            "link add child0 link {PARENT} type {}",
            child_kind()
        ));
        let snapshot = everything(&mut discover);
        assert_eq!(snapshot.children[0].netns, NetnsId::Own);
        assert_eq!(
            snapshot.children[0].parent_ifindex,
            ifindex(&snapshot, PARENT)
        );

        ip(&format!("link set child0 netns {}", first.pid()));
        let in_netns_of = |pid| {
            move |snapshot: &Snapshot| {
                let child = snapshot.children.first();
                let netns = child.and_then(|child| snapshot.netns(child.netns));
                netns.is_some_and(|netns| netns.pid == Some(pid))
            }
        };
        snapshot_until(
            &mut watch,
            &mut discover,
            "the move",
            in_netns_of(first.pid()),
        )
        .await;
        // From inside: the netns it goes to has no nsid here.
        first.ip(&format!("link set child0 netns {}", second.pid()));
        snapshot_until(
            &mut watch,
            &mut discover,
            "the 2nd move",
            in_netns_of(second.pid()),
        )
        .await;
    });
}

#[test]
fn does_not_take_the_child_of_another_netns_for_one_of_ours() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let (middle, inner) = (Unnamed::new(), Unnamed::new());
        let ours = ifindex(&everything(&mut discover), PARENT);
        // The same ifindex, in another netns.
        middle.ip(&format!(
            "link add foreign0 index {ours} type veth peer name foreign1"
        ));
        middle.ip(&format!(
            "link add child0 link foreign0 type {}",
            child_kind()
        ));
        middle.ip(&format!(
            "link add child1 link foreign0 netns {} type {}",
            inner.pid(),
            child_kind()
        ));
        inner.create_child("child2");
        for _ in 0..2 {
            let snapshot = everything(&mut discover);
            assert_eq!(child_names(&snapshot), BTreeSet::from(["child2"]));
        }
    });
}

#[test]
fn gives_no_nsid_to_a_netns_with_nothing_but_lo() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let netns = Unnamed::new();
        let knows = |snapshot: &Snapshot| {
            snapshot
                .netnses
                .iter()
                .any(|it| it.pid == Some(netns.pid()))
        };
        assert!(!knows(&everything(&mut discover)));
        netns.ip("link add veth0 type veth peer name veth1");
        assert!(knows(&everything(&mut discover)));
    });
}

#[test]
fn names_a_netns_by_its_bind_mount() {
    in_fresh_netns(async || {
        let mut discover = discover();
        private_names();
        ip("netns add blue");
        ip(&format!(
            "link add child0 link {PARENT} netns blue type {}",
            child_kind()
        ));
        let snapshot = everything(&mut discover);
        let child = &snapshot.children[0];
        let netns = snapshot.netns(child.netns).expect("its netns");
        assert_eq!(
            (netns.names.as_slice(), netns.pid),
            (&["blue".to_owned()][..], None)
        );
        assert_eq!(netns.files, ["/run/netns/blue"]);
        ip("netns del blue");
    });
}

/// Mounts an empty `/run/netns`. The mounts of this thread are its own: no other directory is touched.
fn private_names() {
    fs::create_dir_all("/run/netns").expect("/run/netns");
    nix::mount::mount(
        Some("tmpfs"),
        "/run/netns",
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    )
    .expect("mount tmpfs on /run/netns");
}

#[test]
fn a_rule_applies_once_its_netns_is_named_and_no_longer_than_it_is() {
    in_fresh_netns(async || {
        private_names();
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        netns.ip("address add 192.0.2.7/24 dev child0");
        netns.ip("link set child0 up");
        let policy = Policy {
            rules: vec![Rule {
                netns: vec!["blue".parse().expect("pattern")],
                answer: false,
                ..Rule::default()
            }],
            ..Policy::default()
        };
        let mut snapshot = everything(&mut discover);
        let refusal = |snapshot: &Snapshot| {
            let parent = snapshot.link_named(PARENT).expect("parent");
            let desired = desired(snapshot, parent, &policy, &BTreeMap::new());
            let views = desired.children.iter().flat_map(|child| &child.addresses);
            let mut of_child = views.filter(|view| view.address == address("192.0.2.7"));
            of_child.next().expect("its address").refusal
        };
        assert_eq!(refusal(&snapshot), None);
        let mut renamed = |command: &str| {
            ip(command);
            discover
                .begin(&mut snapshot, Scope::Everything)
                .expect("begin");
            refusal(&snapshot)
        };
        let attach = |name| format!("netns attach {name} {}", netns.pid());
        assert_eq!(renamed(&attach("red")), None);
        assert_eq!(renamed(&attach("blue")), Some(Reason::Denied));
        assert_eq!(renamed("netns del red"), Some(Reason::Denied));
        assert_eq!(renamed("netns del blue"), None);
    });
}

#[test]
fn netns_that_vanish_while_they_are_dumped_are_no_error() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let steady = Unnamed::new();
        steady.create_child("steady");
        std::thread::scope(|scope| {
            // A scoped thread starts in the netns of this one.
            let churn = scope.spawn(|| {
                for _ in 0..30 {
                    Unnamed::new().create_child("brief");
                }
            });
            let mut snapshots = 0;
            while !churn.is_finished() {
                assert!(child_names(&everything(&mut discover)).contains("steady"));
                assert!(child_names(&known(&mut discover)).contains("steady"));
                snapshots += 2;
            }
            println!("{snapshots} snapshots during churn");
            assert!(snapshots > 30);
            churn.join().expect("churn");
        });
    });
}

#[test]
fn without_net_admin_there_is_an_error_and_no_empty_snapshot() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        assert_eq!(everything(&mut discover).children.len(), 1);

        restrict_capabilities(|all| all & !(1 << CAP_NET_ADMIN));
        for scope in [Scope::Everything, Scope::KnownNetns] {
            let error = discover
                .snapshot(scope, None)
                .expect_err("a snapshot without CAP_NET_ADMIN");
            let hint = error.hint().expect("a hint");
            assert!(hint.contains("CAP_NET_ADMIN"), "{hint}");
            // Which request meets it first depends on what else is on the machine.
            let request = if scope == Scope::KnownNetns {
                "nsid"
            } else {
                "RTM_"
            };
            assert!(error.to_string().contains(request), "{error}");
            assert!(error.source().is_some());
        }
    });
}

#[test]
fn finds_children_without_being_allowed_to_look_into_processes() {
    in_fresh_netns(async || {
        // Enough to be refused any /proc/PID/ns/net of a process with more.
        restrict_capabilities(|_| 1 << CAP_NET_ADMIN | 1 << CAP_NET_BROADCAST);
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        let is_forbidden = fs::metadata(format!("/proc/{}/ns/net", netns.pid()))
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        assert!(is_forbidden, "the test restricted nothing");
        let snapshot = snapshot_until(&mut watch, &mut discover, "the child", |snapshot| {
            child_names(snapshot).contains("child0")
        })
        .await;
        let found = snapshot.netns(snapshot.children[0].netns).expect("netns");
        assert_eq!((found.pid, found.inode), (Some(netns.pid()), None));
        // That of this very thread is not taken for another.
        let own = snapshot.netns(NetnsId::Own).expect("own netns");
        assert!(own.pid.is_none_or(|pid| pid != netns.pid()));
    });
}

const CAP_NET_BROADCAST: u32 = 11;
const CAP_NET_ADMIN: u32 = 12;

/// Changes the low 32 effective capabilities of this thread; programs it runs have all again.
fn restrict_capabilities(restrict: impl FnOnce(u32) -> u32) {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = [VERSION_3, 0];
    // Effective, permitted and inheritable; the low 32 capabilities, then the high.
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: the header says that there is room for two sets, and there is.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    assert_eq!(got, 0, "capget: {}", io::Error::last_os_error());
    sets[0][0] = restrict(sets[0][0]);
    // SAFETY: as above; capset only reads.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(set, 0, "capset: {}", io::Error::last_os_error());
}
