//! Children and the netns they are in: found, followed, forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    fs, io,
};

use ipvlan_common::Reason;
use ipvlan_user::{
    discover::Scope,
    facts::{NetnsId, Snapshot},
    model::{Policy, Rule, desired},
};

use super::lab::{
    Container, Lab, PARENT, address, child_in, child_kind, child_mode, child_names, create_child,
    ifindex, ip, on_host, private_names,
};

#[test]
fn finds_a_child_created_in_an_unnamed_netns_and_forgets_it_with_the_netns() {
    on_host(async |mut lab| {
        assert!(lab.everything().children.is_empty());

        let container = Container::with_child();
        lab.wakes_for("the child", |wake| wake.anywhere().links)
            .await;
        let is_found = |snapshot: &Snapshot| child_names(snapshot).contains("child0");
        let snapshot = lab.shows("child", is_found).await;
        let child = &snapshot.children[0];
        assert_eq!(child.parent_ifindex, ifindex(&snapshot, PARENT));
        assert!(!child.up);
        assert_eq!(child.kind.port().unwrap().mode, child_mode());
        assert!(matches!(child.netns, NetnsId::Nsid(_)), "{child:?}");
        let found = snapshot.netns(child.netns).unwrap();
        assert_eq!(found.pids.lowest(), Some(container.pid()));
        assert!(found.names.is_empty() && found.inode.is_some(), "{found:?}");

        drop(container);
        // The kernel reports the end of the child first, and then that of its netns.
        let is_gone = |snapshot: &Snapshot| {
            snapshot.children.is_empty() && snapshot.netns(child.netns).is_none()
        };
        lab.shows("end", is_gone).await;
    });
}

#[test]
fn follows_a_child_through_three_netns() {
    on_host(async |mut lab| {
        let (first, second) = (Container::new(), Container::new());
        create_child("child0");
        let snapshot = lab.everything();
        let child = &snapshot.children[0];
        assert_eq!(child.netns, NetnsId::Own);
        assert_eq!(child.parent_ifindex, ifindex(&snapshot, PARENT));

        let is_in = |container: &Container| {
            let pid = container.pid();
            move |snapshot: &Snapshot| {
                let child = snapshot.children.first();
                let netns = child.and_then(|child| snapshot.netns(child.netns));
                netns.is_some_and(|netns| netns.pids.lowest() == Some(pid))
            }
        };
        ip(&format!("link set child0 netns {}", first.pid()));
        lab.shows("move", is_in(&first)).await;
        // From inside: the netns it goes to has no nsid here.
        first.ip(&format!("link set child0 netns {}", second.pid()));
        lab.shows("second move", is_in(&second)).await;
    });
}

#[test]
fn does_not_take_the_child_of_another_netns_for_one_of_ours() {
    on_host(async |mut lab| {
        let (middle, inner) = (Container::new(), Container::new());
        let ours = ifindex(&lab.everything(), PARENT);
        let (pid, kind) = (inner.pid(), child_kind());
        // The same ifindex, in another netns.
        middle.ip(&format!(
            "link add foreign0 index {ours} type veth peer name foreign1 index 99"
        ));
        middle.ip(&format!("link add child0 link foreign0 type {kind}"));
        middle.ip(&format!(
            "link add child1 link foreign0 netns {pid} type {kind}"
        ));
        inner.create_child("child2");
        for _ in 0..2 {
            let snapshot = lab.everything();
            assert_eq!(child_names(&snapshot), BTreeSet::from(["child2"]));
        }
    });
}

#[test]
fn gives_no_nsid_to_a_netns_with_nothing_but_lo() {
    on_host(async |mut lab| {
        let container = Container::new();
        assert_eq!(container.try_id(&lab.everything()), None);
        container.ip("link add veth0 type veth peer name veth1");
        container.id(&lab.everything());
    });
}

#[test]
fn names_a_netns_by_its_bind_mount() {
    on_host(async |mut lab| {
        private_names();
        ip("netns add blue");
        ip(&child_in("child0", "blue"));
        let snapshot = lab.everything();
        let netns = snapshot.netns(snapshot.children[0].netns).unwrap();
        assert_eq!(
            (&netns.names[..], netns.pids.lowest()),
            (&["blue".to_owned()][..], None)
        );
        assert_eq!(netns.files, ["/run/netns/blue"]);
        ip("netns del blue");
    });
}

#[test]
fn a_rule_applies_once_its_netns_is_named_and_no_longer_than_it_is() {
    on_host(async |mut lab| {
        private_names();
        let container = Container::with_child();
        container.ip("address add 192.0.2.7/24 dev child0");
        container.ip("link set child0 up");
        let rule = Rule {
            netns: vec!["blue".parse().unwrap()],
            answer: false,
            ..Rule::default()
        };
        let policy = Policy {
            rules: vec![rule],
            ..Policy::default()
        };
        let mut snapshot = lab.everything();
        let refusal = |snapshot: &Snapshot| {
            let parent = snapshot.link_named(PARENT).unwrap();
            let desired = desired(snapshot, parent, &policy, &BTreeMap::new());
            let mut views = desired.children.iter().flat_map(|child| &child.addresses);
            let of_child = views.find(|view| view.address == address("192.0.2.7"));
            of_child.unwrap().refusal
        };
        assert_eq!(refusal(&snapshot), None);
        let pid = container.pid();
        for (command, refused) in [
            (format!("netns attach red {pid}"), None),
            (format!("netns attach blue {pid}"), Some(Reason::Denied)),
            ("netns del red".to_owned(), Some(Reason::Denied)),
            ("netns del blue".to_owned(), None),
        ] {
            ip(&command);
            lab.begin(&mut snapshot);
            assert_eq!(refusal(&snapshot), refused, "{command}");
        }
    });
}

#[test]
fn netns_that_vanish_while_they_are_dumped_are_no_error() {
    on_host(async |mut lab| {
        let steady = Container::new();
        steady.create_child("steady");
        std::thread::scope(|scope| {
            // A scoped thread starts in the netns of this one.
            let churn = scope.spawn(|| {
                for _ in 0..30 {
                    Container::new().create_child("brief");
                }
            });
            let mut snapshots = 0;
            while !churn.is_finished() {
                for snapshot in [lab.everything(), lab.known()] {
                    assert!(child_names(&snapshot).contains("steady"));
                    snapshots += 1;
                }
            }
            println!("{snapshots} snapshots during churn");
            assert!(snapshots > 30);
            churn.join().unwrap();
        });
    });
}

#[test]
fn without_net_admin_there_is_an_error_and_no_empty_snapshot() {
    on_host(async |mut lab| {
        let _container = Container::with_child();
        assert_eq!(lab.everything().children.len(), 1);

        restrict_capabilities(|all| all & !(1 << CAP_NET_ADMIN));
        // Which request meets it first depends on what else is on the machine.
        for (scope, request) in [(Scope::Everything, "RTM_"), (Scope::KnownNetns, "nsid")] {
            let error = lab.discover.snapshot(scope, None).unwrap_err();
            let hint = error.hint().unwrap();
            assert!(hint.contains("CAP_NET_ADMIN"), "{hint}");
            assert!(error.to_string().contains(request), "{error}");
            assert!(error.source().is_some());
        }
    });
}

#[test]
fn finds_children_without_being_allowed_to_look_into_processes() {
    on_host(async |_| {
        let container = Container::new();
        // Enough to be refused any /proc/PID/ns/net of a process with more.
        restrict_capabilities(|_| 1 << CAP_NET_ADMIN | 1 << CAP_NET_BROADCAST);
        let mut lab = Lab::new();
        container.create_child("child0");
        let looked = fs::metadata(format!("/proc/{}/ns/net", container.pid()));
        let error = looked.expect_err("the test restricted nothing");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let is_found = |snapshot: &Snapshot| child_names(snapshot).contains("child0");
        let snapshot = lab.shows("child", is_found).await;
        let found = snapshot.netns(snapshot.children[0].netns).unwrap();
        assert_eq!(
            (found.pids.lowest(), found.inode),
            (Some(container.pid()), None)
        );
        // That of this very thread is not taken for another.
        let own = snapshot.netns(NetnsId::Own).unwrap();
        assert_ne!(own.pids.lowest(), Some(container.pid()));
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
