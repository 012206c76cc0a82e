//! Discovery against the running kernel: what appears is found, what vanishes is forgotten, what
//! cannot be read is an error.

#[path = "netns_discover/lab.rs"]
mod lab;

use std::{
    collections::BTreeSet,
    error::Error as _,
    fs,
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_user::discover::{
    Scope, Watch,
    snapshot::{NetnsId, OnLinkRoute, ProxyArp},
};

use lab::{
    PARENT, Unnamed, child_names, discover, everything, ifindex, in_fresh_netns, ip, ip_batch,
    known, settle, snapshot_until, wake_until,
};

fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

#[test]
fn finds_a_child_created_in_an_unnamed_netns_and_forgets_it_with_the_netns() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        assert!(everything(&mut discover).children.is_empty());

        let netns = Unnamed::new();
        netns.create_child("child0");
        wake_until(&mut watch, "a child created elsewhere", |wake| wake.links).await;
        let snapshot = snapshot_until(&mut watch, &mut discover, "the child", |snapshot| {
            child_names(snapshot).contains("child0")
        })
        .await;
        let child = &snapshot.children[0];
        assert_eq!(child.parent_ifindex, ifindex(&snapshot, PARENT));
        assert!(!child.up);
        assert!(matches!(child.netns, NetnsId::Nsid(_)), "{child:?}");
        let found = snapshot.netns(child.netns).expect("its netns");
        assert_eq!(found.pid, Some(netns.pid()));
        assert!(found.names.is_empty(), "{found:?}");
        assert!(found.inode.is_some());

        let id = child.netns;
        drop(netns);
        let snapshot = snapshot_until(&mut watch, &mut discover, "the end", |snapshot| {
            snapshot.children.is_empty()
        })
        .await;
        assert_eq!(snapshot.netns(id), None);
    });
}

#[test]
fn wakes_for_an_address_in_a_netns_with_an_nsid_and_reads_it() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        netns.ip("link set child0 up");
        everything(&mut discover);
        settle(&mut watch).await;

        netns.ip("addr add 192.0.2.7 peer 192.0.2.8/31 dev child0");
        wake_until(&mut watch, "an IPv4 address", |wake| wake.addresses).await;
        netns.ip("addr add 2001:db8::7/64 dev child0 nodad");
        wake_until(&mut watch, "an IPv6 address", |wake| wake.addresses).await;
        let snapshot = known(&mut discover);
        let child = &snapshot.children[0];
        assert!(child.up);
        let by_local = |local| {
            let mut all = child.addresses.iter();
            all.find(|it| it.local == address(local))
                .unwrap_or_else(|| panic!("no {local} in {child:?}"))
        };
        let v4 = by_local("192.0.2.7");
        assert_eq!(v4.peer, Some(address("192.0.2.8")));
        assert_eq!(v4.registered(), address("192.0.2.8"));
        assert_eq!(v4.prefix_len, 31);
        let v6 = by_local("2001:db8::7");
        assert_eq!((v6.peer, v6.prefix_len), (None, 64));
        assert!(!v6.is_unusable(), "{v6:?}");

        netns.ip("addr del 192.0.2.7 peer 192.0.2.8/31 dev child0");
        wake_until(&mut watch, "a deleted address", |wake| wake.addresses).await;
        let snapshot = known(&mut discover);
        let mut left = snapshot.children[0].addresses.iter();
        assert!(left.all(|it| it.local != address("192.0.2.7")));
    });
}

#[test]
fn follows_a_child_through_three_netns() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let (first, second) = (Unnamed::new(), Unnamed::new());
        ip(&format!(
            "link add child0 link {PARENT} type macvlan mode bridge"
        ));
        let snapshot = everything(&mut discover);
        assert_eq!(snapshot.children[0].netns, NetnsId::Own);
        assert_eq!(
            snapshot.children[0].parent_ifindex,
            ifindex(&snapshot, PARENT)
        );

        ip(&format!("link set child0 netns {}", first.pid()));
        let in_netns_of = |pid| {
            move |snapshot: &ipvlan_user::discover::Snapshot| {
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
        middle.ip("link add child0 link foreign0 type macvlan mode bridge");
        middle.ip(&format!(
            "link add child1 link foreign0 netns {} type macvlan mode bridge",
            inner.pid()
        ));
        inner.create_child("child2");
        for _ in 0..2 {
            let snapshot = everything(&mut discover);
            assert_eq!(child_names(&snapshot), BTreeSet::from(["child2"]));
        }
    });
}

#[test]
fn takes_only_the_children_of_the_parents_asked_for() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip(&format!(
            "link add child0 link {PARENT} type macvlan mode bridge"
        ));
        ip("link add child1 link wire0 type macvlan mode bridge");
        let snapshot = everything(&mut discover);
        assert_eq!(child_names(&snapshot), BTreeSet::from(["child0", "child1"]));
        let wire = BTreeSet::from([ifindex(&snapshot, "wire0")]);
        let snapshot = discover
            .snapshot(Scope::KnownNetns, Some(&wire))
            .expect("snapshot");
        assert_eq!(child_names(&snapshot), BTreeSet::from(["child1"]));
        assert_eq!(
            snapshot
                .host
                .proxy_arp
                .keys()
                .copied()
                .collect::<BTreeSet<_>>(),
            wire
        );
    });
}

#[test]
fn gives_no_nsid_to_a_netns_with_nothing_but_lo() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let netns = Unnamed::new();
        let knows = |snapshot: &ipvlan_user::discover::Snapshot| {
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
        // The mounts of this thread are its own: no other netns directory is touched.
        fs::create_dir_all("/run/netns").expect("/run/netns");
        nix::mount::mount(
            Some("tmpfs"),
            "/run/netns",
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            None::<&str>,
        )
        .expect("mount tmpfs on /run/netns");
        ip("netns add blue");
        ip(&format!(
            "link add child0 link {PARENT} netns blue type macvlan mode bridge"
        ));
        let snapshot = everything(&mut discover);
        let child = &snapshot.children[0];
        let netns = snapshot.netns(child.netns).expect("its netns");
        assert_eq!(
            (netns.names.as_slice(), netns.pid),
            (&["blue".to_owned()][..], None)
        );
        ip("netns del blue");
    });
}

#[test]
fn reads_what_the_host_holds_and_where_it_sends_the_rest() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip_batch(
            None,
            &format!(
                "addr add 198.51.100.1/24 dev {PARENT}\n\
                 addr add 2001:db8:1::1/64 dev {PARENT} nodad\n\
                 route add default via 198.51.100.254\n\
                 route add default via 198.51.100.253 table 100\n\
                 route add default table 101 nexthop via 198.51.100.252 nexthop via 198.51.100.251\n\
                 route add 203.0.113.0/25 via 198.51.100.250\n\
                 route add 203.0.113.128/25 dev {PARENT}\n\
                 route add local 192.0.2.0/24 dev lo\n\
                 route add local 192.0.3.1/32 dev lo\n\
                 route add default via inet6 2001:db8:1::fd dev {PARENT} table 102\n",
            ),
        );
        ip("-6 route add default via 2001:db8:1::fe");
        let snapshot = everything(&mut discover);
        let host = &snapshot.host;
        let parent = ifindex(&snapshot, PARENT);
        let held: BTreeSet<_> = host
            .addresses
            .iter()
            .map(|it| (it.address, it.ifindex))
            .collect();
        assert!(
            held.contains(&(address("198.51.100.1"), parent)),
            "{held:?}"
        );
        assert!(
            held.contains(&(address("2001:db8:1::1"), parent)),
            "{held:?}"
        );
        let gateways = [
            "198.51.100.254",
            "198.51.100.253",
            "198.51.100.252",
            "198.51.100.251",
            "2001:db8:1::fe",
            "2001:db8:1::fd",
        ];
        assert_eq!(host.gateways, gateways.map(address).into());
        let on_link = |prefix, prefix_len| OnLinkRoute {
            prefix: address(prefix),
            prefix_len,
            oif: parent,
            table: 254,
        };
        for route in [
            on_link("198.51.100.0", 24),
            on_link("203.0.113.128", 25),
            on_link("2001:db8:1::", 64),
        ] {
            assert!(
                host.routes_on_link.contains(&route),
                "{route:?} not in {host:?}"
            );
        }
        let via = address("203.0.113.0");
        assert!(
            !host
                .routes_on_link
                .iter()
                .any(|it| it.prefix == via && it.prefix_len == 25)
        );
        let local = [(address("192.0.2.0"), 24), (address("192.0.3.1"), 32)];
        assert_eq!(host.local_prefixes, local);
    });
}

#[test]
fn sees_proxy_arp_and_proxy_neighbours() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        ip(&format!(
            "link add child0 link {PARENT} type macvlan mode bridge"
        ));
        let snapshot = everything(&mut discover);
        let parent = ifindex(&snapshot, PARENT);
        assert!(!snapshot.host.proxy_neighbours);
        assert_eq!(snapshot.host.proxy_arp[&parent], ProxyArp::default());
        settle(&mut watch).await;

        let conf = format!("/proc/sys/net/ipv4/conf/{PARENT}");
        fs::write(format!("{conf}/proxy_arp"), "1").expect("proxy_arp");
        wake_until(&mut watch, "proxy_arp", |wake| wake.routes).await;
        fs::write(format!("{conf}/proxy_arp_pvlan"), "1").expect("proxy_arp_pvlan");
        ip(&format!("neigh add proxy 192.0.2.9 dev {PARENT}"));
        let snapshot = known(&mut discover);
        assert!(snapshot.host.proxy_neighbours);
        let both = ProxyArp {
            proxy_arp: true,
            pvlan: true,
        };
        assert_eq!(snapshot.host.proxy_arp[&parent], both);
    });
}

#[test]
fn tells_what_a_link_is_part_of() {
    in_fresh_netns(async || {
        let mut discover = discover();
        ip("link add bridge0 type bridge");
        ip(&format!("link set {PARENT} master bridge0 mtu 1400"));
        ip("link add upper0 link wire0 type macvlan");
        let snapshot = everything(&mut discover);
        let parent = snapshot.link_named(PARENT).expect(PARENT);
        let master = parent.master.as_ref().expect("master");
        assert_eq!(master.ifindex, ifindex(&snapshot, "bridge0"));
        assert_eq!(master.kind.as_deref(), Some("bridge"));
        assert_eq!((parent.mtu, parent.kind.as_deref()), (1400, Some("veth")));
        assert!(
            parent.up && parent.carrier && parent.mac.is_some(),
            "{parent:?}"
        );
        let upper = snapshot.link_named("upper0").expect("upper0");
        let lower = upper.lower.expect("lower");
        assert_eq!(
            (lower.ifindex, lower.netns),
            (ifindex(&snapshot, "wire0"), NetnsId::Own)
        );
        assert!(!upper.up);
        assert_eq!(
            snapshot.link_named("lo").expect("lo").hardware,
            libc::ARPHRD_LOOPBACK
        );
    });
}

#[test]
fn reports_an_overrun_and_goes_on() {
    in_fresh_netns(async || {
        let mut watch = Watch::with_receive_buffer(1).expect("watch");
        let mut discover = discover();
        let addresses: String = (0..400)
            .map(|n| {
                format!(
                    "addr add 10.1.{}.{}/32 dev {PARENT}\n",
                    n / 200,
                    n % 200 + 1
                )
            })
            .collect();
        ip_batch(None, &addresses);
        wake_until(&mut watch, "the overrun", |wake| wake.overrun).await;
        let held = everything(&mut discover).host.addresses;
        let held = held
            .iter()
            .filter(|it| it.prefix_len == 32 && it.address.is_ipv4());
        assert_eq!(held.count(), 400);
        settle(&mut watch).await;
        ip(&format!("addr del 10.1.0.1/32 dev {PARENT}"));
        wake_until(&mut watch, "an event after the overrun", |wake| {
            wake.addresses
        })
        .await;
        assert_eq!(watch.malformed(), 0);
    });
}

#[test]
fn does_not_wake_while_nothing_happens() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        everything(&mut discover);
        // Duplicate address detection of the links just made takes up to two seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        settle(&mut watch).await;
        for scope in [Scope::Everything, Scope::KnownNetns] {
            discover.snapshot(scope, None).expect("snapshot");
        }
        let wake = tokio::time::timeout(Duration::from_secs(1), watch.wake()).await;
        assert!(wake.is_err(), "woke for {wake:?}");
    });
}

#[test]
fn a_routing_daemon_does_not_wake() {
    in_fresh_netns(async || {
        ip(&format!("addr add 198.51.100.1/24 dev {PARENT}"));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut watch = Watch::new().expect("watch");
        ip("route add 203.0.113.0/24 via 198.51.100.254");
        let wake = tokio::time::timeout(Duration::from_millis(300), watch.wake()).await;
        assert!(wake.is_err(), "woke for {wake:?}");
        ip("route add default via 198.51.100.254");
        wake_until(&mut watch, "a default route", |wake| wake.routes).await;
    });
}

#[test]
fn without_net_admin_there_is_an_error_and_no_empty_snapshot() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let netns = Unnamed::new();
        netns.create_child("child0");
        assert_eq!(everything(&mut discover).children.len(), 1);

        drop_net_admin();
        for scope in [Scope::Everything, Scope::KnownNetns] {
            let error = discover
                .snapshot(scope, None)
                .expect_err("a snapshot without CAP_NET_ADMIN");
            let hint = error.hint().expect("a hint");
            assert!(hint.contains("CAP_NET_ADMIN"), "{hint}");
            assert!(error.to_string().contains("nsid"), "{error}");
            assert!(error.source().is_some());
        }
        // The lab needs it again only in other processes, which get it from being root.
    });
}

/// Takes `CAP_NET_ADMIN` from the effective set of this thread.
fn drop_net_admin() {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_NET_ADMIN: u32 = 12;
    let mut header = [VERSION_3, 0];
    // Effective, permitted and inheritable; the low 32 capabilities, then the high.
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: the header says that there is room for two sets, and there is.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    assert_eq!(got, 0, "capget: {}", std::io::Error::last_os_error());
    sets[0][0] &= !(1 << CAP_NET_ADMIN);
    // SAFETY: as above; capset only reads.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(set, 0, "capset: {}", std::io::Error::last_os_error());
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
fn snapshots_of_many_children_are_fast() {
    in_fresh_netns(async || {
        for (netnses, children) in [(20, 1), (100, 10)] {
            let mut discover = discover();
            let lab: Vec<_> = (0..netnses).map(|_| Unnamed::new()).collect();
            for (number, netns) in lab.iter().enumerate() {
                let add = |child| {
                    let pid = netns.pid();
                    format!(
                        "link add c{child} link {PARENT} netns {pid} type macvlan mode bridge\n"
                    )
                };
                ip_batch(None, &(0..children).map(add).collect::<String>());
                let add = |child| format!("addr add 10.{number}.{child}.1/24 dev c{child}\n");
                ip_batch(Some(netns), &(0..children).map(add).collect::<String>());
            }
            assert_eq!(everything(&mut discover).children.len(), netnses * children);
            for scope in [Scope::Everything, Scope::KnownNetns] {
                let mut times: Vec<_> = (0..11)
                    .map(|_| {
                        let start = Instant::now();
                        discover.snapshot(scope, None).expect("snapshot");
                        start.elapsed()
                    })
                    .collect();
                times.sort();
                println!(
                    "{netnses} netns x {children} children, {scope:?}: min {:?}, median {:?}",
                    times[0], times[5]
                );
            }
        }
    });
}
