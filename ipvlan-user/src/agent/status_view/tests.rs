use std::collections::BTreeMap;

use super::*;
use crate::facts::Netns;

#[test]
fn a_request_that_only_the_mac_identifies_is_noted() {
    let counters = |reason: Reason, count| {
        let of_hook = BTreeMap::from([(reason.word().to_owned(), count)]);
        Counters([(protocol::Hook::Egress.into(), of_hook)].into())
    };
    for (reason, count) in [
        (Reason::DhcpNoClientId, 0),
        (Reason::DhcpBroadcast, 3),
        (Reason::NotOurs, 3),
    ] {
        assert_eq!(dhcp_note(&counters(reason, count)), None, "{reason:?}");
    }
    assert_eq!(dhcp_note(&Counters::default()), None);
    let note = dhcp_note(&counters(Reason::DhcpNoClientId, 3)).unwrap();
    assert!(note.contains("identifier of their own (3): "), "{note}");
}

#[test]
fn an_exceeded_quota_is_reported_with_the_limit_and_option_of_its_netns() {
    let netns = |nsid, file: &str| Netns {
        id: NetnsId::Nsid(nsid),
        names: vec![file.to_owned()],
        files: vec![format!("/run/netns/{file}")],
        ..Netns::default()
    };
    let snapshot = Snapshot {
        netnses: vec![netns(1, "red"), netns(2, "blue")],
        ..Snapshot::default()
    };
    let text = r#"
        iface = ["ens34"]
        netns-events = 5
        rule = [{ netns = ["blue"], addresses = 10 }]
    "#;
    let settings = Settings::new(toml::from_str(text).unwrap()).unwrap();
    let key = |nsid, quota| (NetnsId::Nsid(nsid), quota);
    let exceeded = Exceeded::from([
        (key(1, QuotaKind::Addresses), 904),
        (key(1, QuotaKind::Time), 0),
        (key(2, QuotaKind::Addresses), 7),
        (key(2, QuotaKind::Events), 3),
        (key(3, QuotaKind::Events), 3),
    ]);
    let shown: Vec<_> = quotas(&exceeded, &settings, &snapshot)
        .into_iter()
        .map(|it| {
            let name = it.netns.names.concat();
            (name, it.quota, it.limit, it.exceeded, it.option)
        })
        .collect();
    let expected = [
        ("red", QuotaKind::Addresses, 4096, 904, "--netns-addresses"),
        ("blue", QuotaKind::Addresses, 10, 7, "[[rule]] addresses"),
        ("blue", QuotaKind::Events, 5, 3, "--netns-events"),
    ]
    .map(|(name, quota, limit, exceeded, option)| {
        let (name, option) = (name.to_owned(), option.to_owned());
        (name, quota.into(), limit, exceeded, option)
    });
    assert_eq!(shown, expected);
}
