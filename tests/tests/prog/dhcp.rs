//! DHCP requests of l2 children leave with the broadcast flag, byte for byte as the same client with that flag
//! sends them. Everything else leaves as it is.

use ipvlan_model::{
    frames::dhcp::{
        self, CHECKSUM, CLIENT_ID, Checksum, DISCOVER, END, FLAGS, HOST_NAME, MAX_SIZE, MESSAGE,
        MESSAGE_TYPE, OPTIONS, PAD, REQUEST, client_id, option, parameters,
    },
    prelude::*,
};

fn on() -> ConfigFlags {
    l2_filter() | ConfigFlags::DHCP
}

/// Leaves with the flag, counted for this reason.
fn counted(name: impl Into<String>, request: &Dhcp, reason: Reason) -> Row {
    row(name, EGRESS, request.frame())
        .flags(on())
        .passes(reason)
        .becomes(request.broadcast().frame())
}

fn flagged(name: impl Into<String>, request: &Dhcp) -> Row {
    counted(name, request, Reason::DhcpBroadcast)
}

/// Leaves as it is; the programs that look up every packet count it for this reason.
fn looked_up(name: &str, frame: Vec<u8>, reason: Reason) -> [Row; 2] {
    [
        row(name, NOT_ROUTED, frame.clone()).flags(on()),
        row(name, ROUTED, frame).flags(on()).passes(reason),
    ]
}

/// Leaves as it is, uncounted.
fn untouched(name: impl Into<String>, frame: Vec<u8>) -> Row {
    row(name, EGRESS, frame).flags(on())
}

fn typed(kind: u8) -> Vec<u8> {
    option(MESSAGE_TYPE, &[kind])
}

/// A message whose checksum is `value` without the flag.
fn summing_to(value: u16) -> Dhcp {
    (0..=u16::MAX)
        .map(|xid| Dhcp {
            xid: xid.into(),
            ..dhcp::new(DISCOVER)
        })
        .find(|request| request.frame()[CHECKSUM..][..2] == value.to_be_bytes())
        .expect("one of all values of a word gives each sum")
}

#[test]
fn discover_and_request_leave_with_the_broadcast_flag() {
    let requests = [DISCOVER, REQUEST].map(dhcp::new);
    check(requests.into_iter().flat_map(|request| {
        let with = |change: fn(&mut Dhcp)| {
            let mut request = request.clone();
            change(&mut request);
            request
        };
        [
            ("plain", request.clone()),
            ("no checksum", with(|it| it.checksum = Checksum::Absent)),
            ("IPv4 options", with(|it| it.option_words = 10)),
            ("other flags", with(|it| it.flags = 0x7fff)),
            ("hops", with(|it| it.head[3] = 5)),
            ("source address", with(|it| it.src = CHILD_IP)),
            (
                "subnet broadcast",
                with(|it| it.dst = Ipv4Addr::new(192, 168, 7, 255)),
            ),
            ("chaddr of its own", with(|it| it.chaddr = OTHER)),
            ("padded to 300 bytes", with(|it| it.options.resize(60, PAD))),
            ("1 400 bytes", with(|it| it.options.resize(1_160, PAD))),
        ]
        .map(|(name, request)| flagged(name, &request))
    }));
}

#[test]
fn the_checksum_is_right_whatever_it_was_and_never_becomes_zero() {
    // 0x8000 more in the sum: 0x8000 and 0x7fff are those that could become 0.
    let sums = [0x0001, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff];
    check(sums.map(|sum| flagged(format!("checksum {sum:#06x}"), &summing_to(sum))));
}

#[test]
fn what_is_wrong_with_a_checksum_stays_wrong() {
    let frame = dhcp::new(DISCOVER).frame();
    let wrong = |at: usize| patched(frame.clone(), at, &[0x11]);
    let right = dhcp::new(DISCOVER).broadcast().frame();
    check([row("another xid", EGRESS, wrong(MESSAGE + 4))
        .flags(on())
        .passes(Reason::DhcpBroadcast)
        .becomes(patched(right, MESSAGE + 4, &[0x11]))]);
}

#[test]
fn options_are_found_in_any_order() {
    let kind = typed(REQUEST);
    let (id, size, name) = (
        client_id(),
        option(MAX_SIZE, &[2, 64]),
        option(HOST_NAME, b"web-1"),
    );
    let long = option(43, &[0xff; 255]);
    let empty = option(80, &[]);
    let orders: [&[&[u8]]; 10] = [
        &[&kind, &id],
        &[&id, &kind],
        &[&kind, &size, &name, &id, &[END]],
        &[&name, &id, &size, &kind, &[END]],
        &[&[PAD; 7], &kind, &[PAD], &id, &[END]],
        &[&empty, &id, &empty, &kind, &[END]],
        &[&long, &kind, &id, &[END]],
        &[&id, &long, &long, &kind, &[END]],
        &[&kind, &id, &[END], &[PAD; 40]],
        // Behind the end of the options is nothing.
        &[&kind, &id, &[END], &[MESSAGE_TYPE, 1, 7]],
    ];
    check(orders.into_iter().enumerate().map(|(index, order)| {
        let request = dhcp::with(&order.iter().map(|it| it.to_vec()).collect::<Vec<_>>());
        flagged(format!("order {index}"), &request)
    }));
}

#[test]
fn a_client_that_only_its_mac_identifies_is_counted() {
    let mac = [&[1], &PARENT[..]].concat();
    let other = [&[1], &OTHER[..]].concat();
    let longer = [&mac[..], &[1]].concat();
    let mac_as_name = [&[0], &PARENT[..]].concat();
    let id = |id: &[u8]| option(CLIENT_ID, id);
    let (none, identified) = (Reason::DhcpNoClientId, Reason::DhcpBroadcast);
    let rows: [(&str, Vec<u8>, Reason); 8] = [
        ("no client id", Vec::new(), none),
        ("the shared MAC", id(&mac), none),
        ("another MAC", id(&other), identified),
        ("MAC and more", id(&longer), identified),
        ("part of the MAC", id(&mac[..6]), identified),
        ("the MAC as a name", id(&mac_as_name), identified),
        ("two bytes", id(&[0, 7]), identified),
        ("a name", id(b"\0web-1.example"), identified),
    ];
    check(rows.into_iter().flat_map(|(name, id, reason)| {
        let with = |rest: &[Vec<u8>]| {
            let head = [typed(DISCOVER), id.clone()];
            counted(name, &dhcp::with(&[&head[..], rest].concat()), reason)
        };
        let long = [parameters(), vec![END, PAD, PAD]];
        [with(&[vec![END]]), with(&long)]
    }));
    // With a hardware address of its own the server can tell it.
    let own = Dhcp {
        chaddr: OTHER,
        ..dhcp::with(&[typed(DISCOVER), vec![END]])
    };
    check([flagged("chaddr of its own", &own)]);
}

#[test]
fn a_client_that_sets_the_flag_itself_is_left_alone() {
    let flagged = dhcp::new(DISCOVER).broadcast();
    let nameless = dhcp::with(&[typed(DISCOVER), vec![END]]).broadcast();
    check([
        untouched("identified", flagged.frame()),
        untouched("not identified", nameless.frame()).passes(Reason::DhcpNoClientId),
    ]);
}

#[test]
fn what_needs_no_flag_leaves_as_it_is() {
    let with = |change: fn(&mut Dhcp)| {
        let mut request = dhcp::new(REQUEST);
        change(&mut request);
        request.frame()
    };
    let behind_end = dhcp::with(&[vec![END], typed(REQUEST)]);
    let behind_16 = dhcp::with(&[vec![PAD; 16], typed(REQUEST)]);
    let types = (0..=18).filter(|kind| ![DISCOVER, REQUEST].contains(kind));
    let other_types = types.map(|kind| untouched(format!("type {kind}"), dhcp::new(kind).frame()));
    check(
        [
            ("relayed", with(|it| it.giaddr = LAN_IP)),
            ("renewal", with(|it| it.ciaddr = CHILD_IP)),
            ("reply", with(|it| it.head[0] = 2)),
            ("another hardware type", with(|it| it.head[1] = 6)),
            ("another length of MACs", with(|it| it.head[2] = 16)),
            ("BOOTP", with(|it| it.cookie = [0; 4])),
            ("another MAC", with(|it| it.eth_src = LAN)),
            ("multicast", with(|it| it.eth_dst = [1, 0, 0x5e, 0, 0, 1])),
            ("from port 67", with(|it| it.ports = [67, 67])),
            ("to port 68", with(|it| it.ports = [68, 68])),
            ("first fragment", with(|it| it.fragment = 0x2000)),
            ("last fragment", with(|it| it.fragment = 3)),
            ("no type", dhcp::with(&[client_id(), vec![END]]).frame()),
            ("type behind the end", behind_end.frame()),
            ("type behind 16 options", behind_16.frame()),
            ("TCP", patched(with(|_| {}), 23, &[6])),
        ]
        .into_iter()
        .map(|(name, frame)| untouched(name, frame))
        .chain(other_types)
        .chain(looked_up(
            "unicast",
            with(|it| it.eth_dst = LAN),
            Reason::NotOurs,
        )),
    );
}

#[test]
fn tagged_requests_leave_as_they_are() {
    let frame = dhcp::new(DISCOVER).frame();
    let tags: [&[(u16, u16)]; 3] = [&[(0x8100, 5)], &[(0x8100, 0)], &[(0x88a8, 5), (0x8100, 7)]];
    check(tags.map(|tags| untouched(format!("{tags:x?}"), tagged(&frame, tags))));
}

#[test]
fn truncated_and_malformed_requests_leave_as_they_are() {
    let frame = dhcp::new(DISCOVER).frame();
    let malformed = |name: &str, frame: Vec<u8>| looked_up(name, frame, Reason::Malformed);
    // The kernel runs no program on a shorter IPv4 frame; see the unit tests of the parser.
    check(
        (34..frame.len()).flat_map(|len| malformed(&format!("{len} bytes"), frame[..len].to_vec())),
    );
    let at = |at: usize, bytes: &[u8]| patched(frame.clone(), at, bytes);
    let too_long = u16::try_from(frame.len() - 14 + 1).unwrap().to_be_bytes();
    check(
        [
            malformed("IPv6 in IPv4's ethertype", at(14, &[0x65])),
            malformed("header of 16 bytes", at(14, &[0x44])),
            malformed("total length one too long", at(16, &too_long)),
        ]
        .into_iter()
        .flatten(),
    );
    check([
        untouched("UDP length of a header", at(38, &[0, 8])),
        untouched("UDP length without options", at(38, &247_u16.to_be_bytes())),
        untouched("UDP length beyond the packet", at(38, &[0xff, 0xff])),
    ]);
    // What is behind the packet is none of it.
    let short = dhcp::with(&[typed(DISCOVER), client_id()]);
    let padding = |frame: Vec<u8>| padded(frame, 400);
    check([row("padded by the sender", EGRESS, padding(short.frame()))
        .flags(on())
        .passes(Reason::DhcpBroadcast)
        .becomes(padding(short.broadcast().frame()))]);
    let cut_id = dhcp::with(&[typed(DISCOVER), vec![CLIENT_ID, 200, 1, 2]]);
    check([flagged("client id beyond the end", &cut_id)]);
}

#[test]
fn nothing_is_written_unless_the_loader_enables_it() {
    let frame = dhcp::new(DISCOVER).frame();
    check([
        row("off", EGRESS, frame.clone()).flags(l2_filter()),
        row("changing", NOT_ROUTED, frame.clone())
            .config([config(on())[0], config(l2_filter())[0]]),
        row("no agent", NOT_ROUTED, frame.clone())
            .flags(on())
            .deadline(0),
    ]);
    // Frames from the wire.
    check([row("ingress", NOT_DEMUX, frame).flags(on())]);
    assert_eq!(OPTIONS, FLAGS + 230);
}
