//! Comparing what came back on the two sides.

use std::fmt::{self, Write as _};

use super::{
    case::Case,
    exceptions::{EXCEPTIONS, Exception},
    setting::Setting,
    wire::Received,
};

/// How many problems are shown.
const SHOWN: usize = 50;

/// What a comparison found.
#[derive(Debug)]
pub(crate) struct Comparison {
    answered: usize,
    silent: usize,
    excepted: Vec<usize>,
    wrong: usize,
    problems: Vec<String>,
}

impl Comparison {
    /// Compares `ours` with `kernel`: what came back because of each of `cases`.
    pub(crate) fn of(
        setting: &Setting,
        cases: &[Case],
        kernel: &[Vec<Received>],
        ours: &[Vec<Received>],
    ) -> Self {
        let mut found = Self {
            answered: 0,
            silent: 0,
            excepted: vec![0; EXCEPTIONS.len()],
            wrong: 0,
            problems: Vec::new(),
        };
        for ((case, kernel), ours) in cases.iter().zip(kernel).zip(ours) {
            found.compare(setting, case, kernel, ours);
        }
        for (exception, times) in EXCEPTIONS.iter().zip(&found.excepted) {
            if *times == 0 && exception.is_due(setting) {
                found.problems.push(format!(
                    "no exception any more: {} ({})",
                    exception.frames, exception.reason
                ));
            }
        }
        if found.answered == 0 {
            found
                .problems
                .push("nothing was answered at all".to_owned());
        }
        found
    }

    /// What is not as it must be: the first of it.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str).take(SHOWN)
    }

    /// Is everything as it must be?
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn compare(&mut self, setting: &Setting, case: &Case, kernel: &[Received], ours: &[Received]) {
        let exception = EXCEPTIONS
            .iter()
            .position(|exception| exception.applies(setting, case, kernel));
        let as_told = exception.is_none_or(|number| EXCEPTIONS[number].ours.is(case, ours));
        match (kernel == ours, as_told, exception) {
            (true, true, _) if ours.is_empty() => self.silent += 1,
            (true, true, _) => self.answered += 1,
            (false, true, Some(number)) => self.excepted[number] += 1,
            (_, _, exception) => {
                let problem = match exception.map(|number| &EXCEPTIONS[number]) {
                    None => "not the same".to_owned(),
                    Some(Exception { frames, ours, .. }) => {
                        format!("not the exception \"{frames}\" ({ours:?})")
                    }
                };
                self.wrong += 1;
                self.problems.push(format!(
                    "{}: {problem}\n  sent   {}\n  kernel {}\n  ours   {}",
                    case.name,
                    hex(&case.frame),
                    all(kernel),
                    all(ours)
                ));
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            silent,
            excepted,
            wrong,
            problems: _,
        } = self;
        let rows = excepted.iter().filter(|times| **times != 0).count();
        let excepted: usize = excepted.iter().sum();
        write!(
            formatter,
            "{} frames sent: {answered} answered alike, {silent} by neither, {excepted} by {rows} rows of \
             the table of exceptions, {wrong} wrong",
            answered + silent + excepted + wrong,
        )
    }
}

fn all(frames: &[Received]) -> String {
    if frames.is_empty() {
        return "nothing".to_owned();
    }
    let shown = frames.iter().map(|Received { tag, bytes }| match tag {
        None => hex(bytes),
        Some(tag) => format!("{} with tag {tag:04x}", hex(bytes)),
    });
    shown.collect::<Vec<_>>().join(" and ")
}

/// The bytes, up to as many as a screen line or two has room for.
fn hex(bytes: &[u8]) -> String {
    const LONGEST: usize = 128;
    let shown = bytes.iter().take(LONGEST);
    let mut text = shown.fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if bytes.len() > LONGEST {
        // Writing to a string cannot fail.
        let _written = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{
        asker::Asker,
        case::{Cases, Framing, Message},
        outcome::Outcome,
        setting::SETTINGS,
        world::CHILD,
    };
    use ipvlan_packet::{Arp, ZERO};

    /// With the row of exceptions about a sender's MAC.
    const ROUTED: &Setting = &SETTINGS[0];
    /// With hardly any.
    const OPTIMISTIC: &Setting = &SETTINGS[6];

    fn request(asker: &Asker) -> Message {
        Message::Arp(asker.request(CHILD.v4))
    }

    fn from_nowhere(asker: &Asker) -> Message {
        Message::Arp(Arp {
            sha: ZERO,
            ..asker.request(CHILD.v4)
        })
    }

    fn solicitation(asker: &Asker) -> Message {
        Message::Nd(asker.multicast(CHILD.v6))
    }

    fn answer(case: &Case) -> Vec<Received> {
        let bytes = Outcome::Answer.bytes(case).unwrap_or_default();
        vec![Received { tag: None, bytes }]
    }

    /// One frame, and what came back on either side: made by the functions from its case.
    fn compared(
        setting: &Setting,
        make: fn(&Asker) -> Message,
        [kernel, ours]: [fn(&Case) -> Vec<Received>; 2],
    ) -> Comparison {
        let mut cases = Cases::default();
        cases.framed("a frame", Framing::Plain, make, |frame| frame);
        let cases = cases.into_list();
        let of = |side: fn(&Case) -> Vec<Received>| cases.iter().map(side).collect::<Vec<_>>();
        Comparison::of(setting, &cases, &of(kernel), &of(ours))
    }

    fn nothing(_: &Case) -> Vec<Received> {
        Vec::new()
    }

    fn twice(case: &Case) -> Vec<Received> {
        [answer(case), answer(case)].concat()
    }

    fn tagged(case: &Case) -> Vec<Received> {
        let mut frames = answer(case);
        frames[0].tag = Some(0);
        frames
    }

    /// With another flag, if it is an advertisement; other bits of an operation otherwise.
    fn changed(case: &Case) -> Vec<Received> {
        let mut frames = answer(case);
        let at = if frames[0].bytes.len() == 42 { 20 } else { 58 };
        frames[0].bytes[at] ^= 0x20;
        frames
    }

    #[test]
    fn the_same_answer_is_good() {
        for make in [request, solicitation] {
            let same = compared(OPTIMISTIC, make, [answer, answer]);
            assert!(same.is_good(), "{:?}", same.problems);
            assert_eq!((same.answered, same.wrong), (1, 0));
        }
    }

    #[test]
    fn any_other_answer_is_wrong() {
        for make in [request, solicitation] {
            for ours in [nothing, twice, tagged, changed] {
                let other = compared(OPTIMISTIC, make, [answer, ours]);
                assert_eq!((other.answered, other.wrong), (0, 1));
                let back = compared(OPTIMISTIC, make, [ours, answer]);
                assert_eq!((back.answered, back.wrong), (0, 1));
            }
        }
    }

    #[test]
    fn a_setting_in_which_nothing_is_answered_is_not_good() {
        let silent = compared(OPTIMISTIC, request, [nothing, nothing]);
        assert_eq!((silent.silent, silent.wrong), (1, 0));
        assert!(!silent.is_good());
    }

    #[test]
    fn an_exception_is_both_sides() {
        let excepted = |sides| {
            let found = compared(ROUTED, from_nowhere, sides);
            let times = found.excepted.iter().sum::<usize>();
            (times, found.wrong, found.silent)
        };
        assert_eq!(excepted([answer, nothing]), (1, 0, 0));
        // The kernel does what the row says, we do not.
        assert_eq!(excepted([answer, answer]), (0, 1, 0));
        assert_eq!(excepted([answer, changed]), (0, 1, 0));
        // The kernel does something else: the row does not apply.
        assert_eq!(excepted([nothing, nothing]), (0, 0, 1));
        assert_eq!(excepted([changed, nothing]), (0, 1, 0));
    }

    #[test]
    fn a_row_that_no_frame_needs_is_a_problem() {
        let due = |setting: &Setting| EXCEPTIONS.iter().filter(|row| row.is_due(setting)).count();
        let found = compared(ROUTED, from_nowhere, [answer, nothing]);
        let unneeded = |text: &&str| text.starts_with("no exception any more");
        assert_eq!(found.problems().filter(unneeded).count(), due(ROUTED) - 1);
    }
}
