//! The switches of a parent, and the notes about them.

use super::*;

#[test]
fn flags_follow_mode_flag_and_policy() {
    let ready = ConfigFlags::READY;
    let vepa = ConfigFlags::VEPA | ConfigFlags::CHECK_SOURCE;
    let l2 = ConfigFlags::L2;
    let drop = ConfigFlags::L2_DROP_FOREIGN | ConfigFlags::L2_DROP_FOREIGN_ND;
    let on_link = "172.16.91.101/24";
    let off_link = "10.0.1.10/24";
    let rows = [
        (
            Mode::L3,
            PortFlag::Bridge,
            L2Broadcast::Filter,
            on_link,
            ready,
        ),
        (
            Mode::L3s,
            PortFlag::Private,
            L2Broadcast::Filter,
            on_link,
            ready,
        ),
        (
            Mode::L3,
            PortFlag::Vepa,
            L2Broadcast::Filter,
            on_link,
            ready | vepa,
        ),
        (
            Mode::L2,
            PortFlag::Bridge,
            L2Broadcast::Filter,
            on_link,
            ready | l2 | drop,
        ),
        (
            Mode::L2,
            PortFlag::Bridge,
            L2Broadcast::Flood,
            on_link,
            ready | l2 | ConfigFlags::L2_FLOOD,
        ),
        (
            Mode::L2,
            PortFlag::Bridge,
            L2Broadcast::Filter,
            off_link,
            ready | l2 | drop | ConfigFlags::CHECK_SOURCE,
        ),
        (
            Mode::L2,
            PortFlag::Vepa,
            L2Broadcast::Filter,
            on_link,
            ready | l2 | drop | vepa,
        ),
    ];
    for (mode, flag, l2_broadcast, text, flags) in rows {
        let mut child = child(7, &[text]);
        child.mode = mode;
        child.flag = flag;
        let policy = Policy {
            l2_broadcast,
            ..Policy::default()
        };
        let desired = decide(&snapshot(vec![child]), &policy);
        assert_eq!(
            desired.config,
            Config::new(MAC, flags),
            "{mode:?} {flag:?} {l2_broadcast:?} {text}"
        );
    }
}

#[test]
fn nothing_is_dropped_where_the_host_may_answer_for_others() {
    type Change = fn(&mut Host);
    // What changes, whether unknown targets are still dropped: of ARP, of solicitations.
    let rows: [(&str, Change, bool, bool); 5] = [
        ("", |_| {}, true, true),
        (
            "proxy ARP",
            |host| {
                let proxy_arp = ProxyArp {
                    proxy_arp: true,
                    pvlan: false,
                };
                host.proxy_arp.insert(PARENT, proxy_arp);
            },
            false,
            true,
        ),
        (
            "proxy neighbours",
            |host| host.proxy_neighbours = true,
            false,
            false,
        ),
        (
            "local prefixes",
            |host| host.local_prefixes.push((address("10.7.0.0"), 16)),
            false,
            true,
        ),
        (
            "local IPv6 prefixes",
            |host| host.local_prefixes.push((address("2001:db8:7::"), 64)),
            true,
            false,
        ),
    ];
    for (what, change, arp, nd) in rows {
        let mut child = child(7, &["172.16.91.101/24"]);
        child.mode = Mode::L2;
        let mut snapshot = snapshot(vec![child]);
        change(&mut snapshot.host);
        let desired = usual(&snapshot);
        let drops = |flag| desired.config.has(flag);
        assert_eq!(drops(ConfigFlags::L2_DROP_FOREIGN), arp, "{what}");
        assert_eq!(drops(ConfigFlags::L2_DROP_FOREIGN_ND), nd, "{what}");
        let notes = &desired.notes;
        assert_eq!(notes.len(), usize::from(!what.is_empty()), "{notes:?}");
        assert!(notes.iter().all(|note| note.contains(what)), "{notes:?}");
    }
}
