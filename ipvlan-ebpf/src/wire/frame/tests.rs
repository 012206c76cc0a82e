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
