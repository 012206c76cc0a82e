//! A packet file (pcapng): one interface for each parent and hook; the verdict is the comment of a packet.

use std::{
    io::{self, Write},
    time::Duration,
};

use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriteError, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{
                InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
            },
            opt_common::CommonOption,
        },
    },
};

use crate::{
    commands::frame::words,
    protocol::{Frame, Hook, Verdict, Word},
    text::printable,
};

/// Directions in `epb_flags`.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A packet file that is being written.
pub(super) struct PacketFile<W: Write> {
    writer: PcapNgWriter<W>,
    /// Parent and hook of each interface, in the order of their numbers.
    interfaces: Vec<(String, Word<Hook>)>,
    /// Most bytes of a frame.
    length: u32,
}

impl<W: Write> PacketFile<W> {
    /// Begins a file.
    pub(super) fn new(to: W, length: u32) -> io::Result<Self> {
        Ok(Self {
            writer: PcapNgWriter::new(to).map_err(into_io)?,
            interfaces: Vec::new(),
            length,
        })
    }

    /// Appends a frame, of which this is the start.
    pub(super) fn write(&mut self, frame: &Frame, data: &[u8]) -> io::Result<()> {
        let block = EnhancedPacketBlock {
            interface_id: self.interface(frame)?,
            timestamp: Duration::from_nanos(frame.time_ns),
            original_len: frame.length,
            data: data.into(),
            options: vec![
                EnhancedPacketOption::Flags(direction(frame)),
                EnhancedPacketOption::Common(CommonOption::Comment(words(frame).into())),
            ],
        };
        self.writer.write_pcapng_block(block).map_err(into_io)?;
        Ok(())
    }

    /// Returns the number of an interface. A new one is written first.
    fn interface(&mut self, frame: &Frame) -> io::Result<u32> {
        let is_it =
            |(parent, hook): &(String, Word<Hook>)| *parent == frame.parent && *hook == frame.hook;
        let known = self.interfaces.iter().position(is_it);
        let number = if let Some(number) = known {
            number
        } else {
            let hook = frame.hook.to_string();
            let name = printable(&frame.parent).to_string();
            let about = format!("{} hook of {name}", printable(&hook));
            let block = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: self.length,
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfDescription(about.into()),
                    InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
                ],
            };
            self.writer.write_pcapng_block(block).map_err(into_io)?;
            let place = (frame.parent.clone(), frame.hook.clone());
            self.interfaces.push(place);
            self.interfaces.len() - 1
        };
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }
}

/// Returns the direction of a frame through the parent. A reply goes back where the request came from.
fn direction(frame: &Frame) -> u32 {
    let leaves = frame.hook == Hook::Egress;
    let is_reply = frame.verdict == Verdict::Answered;
    if leaves == is_reply {
        INBOUND
    } else {
        OUTBOUND
    }
}

fn into_io(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;

    fn frame(hook: Hook, verdict: Verdict) -> Frame {
        Frame {
            parent: "eth0".to_owned(),
            hook: hook.into(),
            verdict: verdict.into(),
            reason: "arp_answered".to_owned(),
            child: Some("ipvl0".to_owned()),
            ifindex: Some(7),
            netns: None,
            time_ns: 1_796_000_000_123_456_789,
            length: 60,
            data: String::new(),
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let mut file = PacketFile::new(Vec::new(), 256).unwrap();
        let frames = [
            (frame(Hook::Ingress, Verdict::Answered), OUTBOUND),
            (frame(Hook::Egress, Verdict::Hairpinned), OUTBOUND),
            (frame(Hook::Egress, Verdict::Answered), INBOUND),
            (frame(Hook::Ingress, Verdict::Passed), INBOUND),
        ];
        for (frame, _) in &frames {
            file.write(frame, b"fourteen bytes").unwrap();
        }
        let written = file.writer.into_inner();
        let mut reader = PcapNgReader::new(&written[..]).unwrap();
        let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap().0.into_owned() {
                Block::InterfaceDescription(block) => {
                    assert_eq!(block.linktype, DataLink::ETHERNET);
                    assert_eq!(block.snaplen, 256);
                    interfaces.push(block.options);
                }
                Block::EnhancedPacket(block) => packets.push(block),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(interfaces.len(), 2);
        assert!(
            interfaces[1].contains(&InterfaceDescriptionOption::IfDescription(
                "egress hook of eth0".into()
            ))
        );
        assert_eq!(packets.len(), frames.len());
        for (packet, (frame, direction)) in packets.iter().zip(&frames) {
            assert_eq!(packet.timestamp, Duration::from_nanos(frame.time_ns));
            assert_eq!(
                (packet.original_len, &*packet.data),
                (60, &b"fourteen bytes"[..])
            );
            assert!(
                packet
                    .options
                    .contains(&EnhancedPacketOption::Flags(*direction))
            );
            let comment = format!("{} arp_answered ipvl0", frame.verdict);
            assert!(
                packet
                    .options
                    .contains(&EnhancedPacketOption::Common(CommonOption::Comment(
                        comment.into()
                    )))
            );
        }
        let numbers: Vec<_> = packets.iter().map(|of| of.interface_id).collect();
        assert_eq!(numbers, [0, 1, 1, 0]);
    }
}
