//! One request to the kernel's routing socket, and what it answers.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Sends one request and hands every answer to `each`, until the kernel says that it is done. Returns
/// how many answers could not be read: what others have set up may be newer than this build.
pub(crate) fn exchange(
    message: RouteNetlinkMessage,
    flags: u16,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<usize> {
    let mut unreadable = 0;
    exchange_bytes(message, flags, |bytes| {
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map(|it| it.payload) {
            Ok(NetlinkPayload::InnerMessage(inner)) => each(inner),
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    })?;
    Ok(unreadable)
}

/// Sends one request and hands the bytes of every answer, with their header, to `each`, until the kernel says that
/// it is done.
pub(crate) fn exchange_bytes(
    message: RouteNetlinkMessage,
    flags: u16,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.finalize();
    let mut buffer = vec![0; request.buffer_len()];
    request.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some(length) = rest.first_chunk().copied().map(u32::from_ne_bytes) {
            let length = (length as usize).max(HEADER);
            let message = rest.get(..length).unwrap_or(rest);
            match message.get(4..6) {
                Some(of) if of == NLMSG_DONE.to_ne_bytes() => return Ok(()),
                Some(of) if of == NLMSG_ERROR.to_ne_bytes() => return result_of(message),
                _ => each(message),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The number in an error message; that of an acknowledgement is 0.
fn result_of(message: &[u8]) -> io::Result<()> {
    let number = message.get(HEADER..HEADER + 4);
    match number
        .and_then(|number| number.try_into().ok())
        .map(i32::from_ne_bytes)
    {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `struct nlmsghdr`
const HEADER: usize = 16;
