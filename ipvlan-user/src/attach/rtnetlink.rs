//! One request to the kernel's routing socket, and what it answers.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Sends one request and hands every answer to `each`, until the kernel says that it is done. Returns
/// how many answers could not be read: what others have set up may be newer than this build.
pub(super) fn exchange(
    message: RouteNetlinkMessage,
    flags: u16,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<usize> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.finalize();
    let mut buffer = vec![0; request.buffer_len()];
    request.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    let mut unreadable = 0;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some(length) = rest.first_chunk().copied().map(u32::from_ne_bytes) {
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map(|it| it.payload) {
                Ok(NetlinkPayload::Done(_)) => return Ok(unreadable),
                Ok(NetlinkPayload::Error(error)) => {
                    return match error.code {
                        None => Ok(unreadable),
                        Some(_) => Err(error.to_io()),
                    };
                }
                Ok(NetlinkPayload::InnerMessage(inner)) => each(inner),
                Ok(_) => {}
                Err(_) => unreadable += 1,
            }
            let length = (length as usize).next_multiple_of(4).max(HEADER);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// `struct nlmsghdr`
const HEADER: usize = 16;
