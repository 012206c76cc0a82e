use super::*;

#[test]
fn header_is_there_only_if_the_frame_is_long_enough() {
    let bytes = [0_u8; 14];
    assert!(Frame::from(&bytes[..]).header::<14>().is_some());
    assert!(Frame::from(&bytes[..13]).header::<14>().is_none());
    assert!(Frame::from(&bytes[..0]).header::<1>().is_none());
}

#[test]
fn fields_are_read_in_network_order_at_any_alignment() {
    let bytes: Vec<u8> = (0..16).collect();
    for shift in 0..2 {
        let header = Frame::from(&bytes[shift..]).header::<14>().unwrap();
        let first = u8::try_from(shift).unwrap();
        assert_eq!(header.u8::<3>(), first + 3);
        assert_eq!(
            header.u16::<2>(),
            u16::from_be_bytes([first + 2, first + 3])
        );
        assert_eq!(header.ipv4::<5>(), [5, 6, 7, 8].map(|byte| byte + first));
        assert_eq!(
            header.mac::<8>().bytes(),
            [8, 9, 10, 11, 12, 13].map(|byte| byte + first)
        );
    }
}

#[test]
fn ipv6_addresses_are_what_the_standard_library_says() {
    use std::net::Ipv6Addr;

    for text in [
        "::",
        "::1",
        "::ffff:192.0.2.1",
        "::fffe:192.0.2.1",
        "2001:db8::",
        "2001:db8::1:2:3",
        "fe80::2:ff:fe00:1",
        "ff02::1",
        "ff02::1:ff12:3456",
        "ff02::1:fe12:3456",
        "ff05::1:ff12:3456",
    ] {
        let address: Ipv6Addr = text.parse().unwrap();
        let octets = address.octets();
        let ours = Ip6::new(octets);
        assert_eq!(ours.bytes(), octets);
        assert_eq!(ours.is_multicast(), address.is_multicast(), "{text}");
        assert_eq!(
            ours.is_v4_mapped(),
            address.to_ipv4_mapped().is_some(),
            "{text}"
        );
        assert_eq!(ours == Ip6::UNSPECIFIED, address.is_unspecified());
        assert_eq!(ours == Ip6::LOOPBACK, address.is_loopback());
        assert_eq!(ours.is_subnet_router(), octets[8..] == [0; 8], "{text}");
        let mut group = "ff02::1:ff00:0".parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(
            ours.is_solicited_node(),
            octets[..13] == group[..13],
            "{text}"
        );
        group[13..].copy_from_slice(&octets[13..]);
        assert_eq!(ours.solicited_node().bytes(), group, "{text}");
        let mac = [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]];
        assert_eq!(ours.group_mac().bytes(), mac, "{text}");
        let frame = [&[0; 3][..], &octets[..]].concat();
        let header = Frame::from(&frame[..]).header::<19>().unwrap();
        assert_eq!(header.ipv6::<3>(), ours);
    }
    assert_eq!(
        Ip6::ALL_NODES.bytes(),
        "ff02::1".parse::<Ipv6Addr>().unwrap().octets()
    );
}

#[test]
fn group_bit_is_the_lowest_of_the_first_byte() {
    assert!(Mac::BROADCAST.is_group());
    assert!(Mac::new([0x01, 0, 0x5e, 0, 0, 1]).is_group());
    assert!(!Mac::new([0x02, 0xff, 0xff, 0xff, 0xff, 0xff]).is_group());
}
