//! A captured frame as text.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    decode,
    protocol::Frame,
    text::{netns_label, printable},
};

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Renders a frame as a line: time of the day (UTC), parent, hook, verdict, reason, child, and what is in it.
pub(super) fn line(frame: &Frame, data: &[u8]) -> String {
    let time = time(frame.time_ns);
    let parent = printable(&frame.parent);
    format!("{time} {parent} {}\n", text(frame, data))
}

/// Renders a frame: hook, verdict, reason, child, and what is in it.
pub(super) fn text(frame: &Frame, data: &[u8]) -> String {
    format!(
        "{} {}: {}",
        printable(&frame.hook.to_string()),
        words(frame),
        decode::describe(data, frame.length)
    )
}

/// Returns the first bytes of a frame; none if an agent has sent something else.
pub(super) fn data(frame: &Frame) -> Vec<u8> {
    STANDARD.decode(&frame.data).unwrap_or_default()
}

/// Returns the words about a frame: verdict, reason, child.
pub(super) fn words(frame: &Frame) -> String {
    let child = frame.child.as_ref().map(|child| {
        let netns = frame.netns.as_ref().map(|of| {
            let label = netns_label(&of.names, of.pid, of.nsid);
            format!("{}/", printable(&label))
        });
        format!(" {}{}", netns.unwrap_or_default(), printable(child))
    });
    format!(
        "{} {}{}",
        printable(&frame.verdict.to_string()),
        printable(&frame.reason),
        child.unwrap_or_default()
    )
}

/// Renders a time since 1970, in nanoseconds, as the time of the day (UTC).
pub(super) fn time(since_1970: u64) -> String {
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
            line(&frame, &[0; 14]),
            "01:02:03.000004 eth0 ingress answered arp_answered blue/ipvl0: ethertype 0x0000, length 42\n"
        );
        let hostile = "\u{1b}[31m\n";
        frame.parent = hostile.to_owned();
        frame.child = Some(hostile.to_owned());
        frame.reason = hostile.to_owned();
        frame.hook = Word::Other(hostile.to_owned());
        frame.netns = None;
        let text = line(&frame, &[]);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
