//! A captured frame as a line of text.

use std::time::Duration;

use super::words;
use crate::{decode, protocol::Frame, text::printable};

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Renders a frame: time of the day (UTC), parent, hook, verdict, reason, child, and what is in it.
pub(super) fn render(frame: &Frame, data: &[u8]) -> String {
    format!(
        "{} {} {} {}: {}\n",
        time(frame.time_ns),
        printable(&frame.parent),
        printable(&frame.hook.to_string()),
        words(frame),
        decode::describe(data, frame.length)
    )
}

fn time(since_1970: u64) -> String {
    let time = Duration::from_nanos(since_1970);
    let seconds = time.as_secs() % DAY;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:06}",
        seconds % 60,
        time.subsec_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Hook, Netns, Verdict, Word};

    #[test]
    fn a_line_has_everything_and_untrusted_text_is_escaped() {
        let mut frame = Frame {
            parent: "eth0".to_owned(),
            hook: Hook::Ingress.into(),
            verdict: Verdict::Answered.into(),
            reason: "arp_answered".to_owned(),
            child: Some("ipvl0".to_owned()),
            ifindex: Some(7),
            netns: Some(Netns {
                nsid: Some(1),
                names: vec!["/run/netns/blue".to_owned()],
                ..Netns::default()
            }),
            time_ns: 86_400_000_000_000 + 3_723_000_004_000,
            length: 42,
            data: String::new(),
        };
        assert_eq!(
            render(&frame, &[0; 14]),
            "01:02:03.000004 eth0 ingress answered arp_answered blue/ipvl0: ethertype 0x0000, length 42\n"
        );
        let hostile = "\u{1b}[31m\n";
        frame.parent = hostile.to_owned();
        frame.child = Some(hostile.to_owned());
        frame.reason = hostile.to_owned();
        frame.hook = Word::Other(hostile.to_owned());
        frame.netns = None;
        let line = render(&frame, &[]);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}
