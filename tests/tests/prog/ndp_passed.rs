//! Neighbour solicitations from the wire that are not answered: dropped or passed on.

use ipvlan_common::{Config, ConfigFlags, Reason};
use ipvlan_model::{
    datapath::{Program, WIRE},
    frames::{Nd, ndp},
    rows::{check, row},
    solicitations::{multicast, passes},
    world::{
        ANYCAST_IP6, BY_KERNEL_IP6, CHILD_IP6, DOWN_IP6, DOWN_SLOT, FOREIGN_IP6, GATEWAY_IP6,
        HOST_IP6, HOST_LL, L3, OTHER, PARENT, ZERO, config, l2_filter, l2_flood,
    },
};

#[test]
fn l2_filter_drops_only_what_goes_to_a_group_for_nobody() {
    let foreign = ndp::solicitation(FOREIGN_IP6);
    let dropped = |name: &str, asked: Nd| {
        row(name, WIRE, asked.frame())
            .flags(l2_filter())
            .dropped(Reason::ForeignDropped)
    };
    let filtered = |name: &str, asked: Nd, reason| passes(name, &asked, reason).flags(l2_filter());
    check([
        dropped("for nobody", foreign.clone()),
        dropped("without options", foreign.clone().with(Vec::new())),
        dropped("for the gateway", ndp::solicitation(GATEWAY_IP6)),
        dropped(
            "the gateway asks",
            Nd {
                src: GATEWAY_IP6,
                ..foreign.clone()
            },
        ),
        dropped(
            "to the parent's MAC alone: one clone less, the same answer",
            Nd {
                eth_dst: PARENT,
                ..foreign.clone()
            },
        ),
        filtered("probe for nobody", ndp::probe(FOREIGN_IP6), Reason::Probe),
        filtered(
            "anycast of routers",
            ndp::solicitation(ANYCAST_IP6),
            Reason::NotOurs,
        ),
        filtered("probe for that", ndp::probe(ANYCAST_IP6), Reason::Probe),
        filtered(
            "unicast for nobody",
            ndp::unicast(FOREIGN_IP6),
            Reason::NotOurs,
        ),
        filtered(
            "for the host",
            ndp::solicitation(HOST_IP6),
            Reason::HostAddress,
        ),
        filtered(
            "for its link-local",
            ndp::solicitation(HOST_LL),
            Reason::HostAddress,
        ),
        filtered(
            "to nobody's group, for another",
            Nd {
                target: GATEWAY_IP6,
                ..foreign.clone()
            },
            Reason::OtherDestination,
        ),
        filtered(
            "that is none",
            Nd {
                hop_limit: 64,
                ..foreign.clone()
            },
            Reason::HopLimit,
        ),
        passes("of ARP alone", &foreign, Reason::NotOurs)
            .flags(L3 | ConfigFlags::L2 | ConfigFlags::L2_DROP_FOREIGN),
        passes("without filter", &foreign, Reason::NotOurs).flags(L3 | ConfigFlags::L2),
        passes("in l3", &foreign, Reason::NotOurs),
        row("of a down child", WIRE, ndp::solicitation(DOWN_IP6).frame())
            .flags(l2_filter())
            .refused(Reason::ChildDown, DOWN_SLOT),
    ]);
}

#[test]
fn what_the_kernel_answers_is_left_to_it() {
    check(
        [
            ("for a child", multicast(), Reason::LeftToKernel),
            ("unicast", ndp::unicast(CHILD_IP6), Reason::LeftToKernel),
            ("probe", ndp::probe(CHILD_IP6), Reason::LeftToKernel),
            (
                "for nobody",
                ndp::solicitation(FOREIGN_IP6),
                Reason::LeftToKernel,
            ),
            (
                "for the host",
                ndp::solicitation(HOST_IP6),
                Reason::LeftToKernel,
            ),
            (
                "for a down child",
                ndp::solicitation(DOWN_IP6),
                Reason::LeftToKernel,
            ),
            (
                "the guard still comes first",
                Nd {
                    eth_src: ZERO,
                    ..multicast()
                },
                Reason::SenderMac,
            ),
        ]
        .map(|(name, asked, reason)| passes(name, &asked, reason).flags(l2_flood())),
    );
    check(
        [
            ("multicast", ndp::solicitation(BY_KERNEL_IP6)),
            ("unicast", ndp::unicast(BY_KERNEL_IP6)),
            ("probe", ndp::probe(BY_KERNEL_IP6)),
        ]
        .map(|(name, asked)| passes(name, &asked, Reason::LeftToKernel).flags(l2_filter())),
    );
}

#[test]
fn answers_nothing_before_the_first_sync_and_during_a_change() {
    let messages = [
        multicast(),
        ndp::probe(CHILD_IP6),
        Nd {
            hop_limit: 1,
            ..multicast()
        },
    ];
    let [ready, _] = config(L3);
    let configs = [
        ("empty config", [Config::default(); 2]),
        ("not ready", config(ConfigFlags::L2)),
        ("to be dropped", config(ConfigFlags::L2_DROP_FOREIGN_ND)),
        ("new MAC in the first copy", [Config::new(OTHER, L3), ready]),
        (
            "new MAC in the second copy",
            [ready, Config::new(OTHER, L3)],
        ),
        ("ready in one copy", [ready, Config::default()]),
    ];
    check(messages.iter().flat_map(|message| {
        configs.map(|(name, copies)| {
            row(name, Program::ALL, message.frame())
                .config(copies)
                .passes(Reason::NotReady)
        })
    }));
    check([row(
        "an announcement",
        WIRE,
        ndp::announcement(CHILD_IP6).frame(),
    )
    .config([Config::default(); 2])
    .passes(Reason::NotReady)]);
}
