//! Comparing what came back on the two sides.

use std::fmt::{self, Write as _};

use super::{
    case::Case,
    exceptions::{EXCEPTIONS, Exception},
    setting::Setting,
    wire::Received,
};

/// How many differences are shown.
const SHOWN: usize = 4000;

/// What a comparison found.
#[derive(Debug)]
pub(crate) struct Comparison {
    answered: usize,
    silent: usize,
    excepted: Vec<usize>,
    problems: Vec<String>,
}

impl Comparison {
    /// Compares `ours` with `kernel`: what came back because of each of `cases`.
    #[must_use]
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

    /// What is not as it must be, one line each.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str).take(SHOWN)
    }

    /// Is everything as it must be?
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn compare(&mut self, setting: &Setting, case: &Case, kernel: &[Received], ours: &[Received]) {
        let exception = EXCEPTIONS
            .iter()
            .position(|exception| exception.applies(setting, case, kernel));
        let alike = kernel == ours;
        let problem = match exception {
            Some(number) if !alike && EXCEPTIONS[number].ours.is(case, ours) => {
                self.excepted[number] += 1;
                return;
            }
            Some(number) if !(alike && EXCEPTIONS[number].ours.is(case, ours)) => {
                let Exception { frames, ours, .. } = &EXCEPTIONS[number];
                format!("not the exception \"{frames}\" ({ours:?})")
            }
            _ if alike && ours.is_empty() => {
                self.silent += 1;
                return;
            }
            _ if alike => {
                self.answered += 1;
                return;
            }
            _ => "not the same".to_owned(),
        };
        self.problems.push(format!(
            "{}: {problem}\n  sent   {}\n  kernel {}\n  ours   {}",
            case.name,
            hex(&case.frame),
            all(kernel),
            all(ours)
        ));
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            silent,
            excepted,
            problems,
        } = self;
        let excepted: usize = excepted.iter().sum();
        write!(
            formatter,
            "{} frames: {answered} answered alike, {silent} by neither, {excepted} in the table of \
             exceptions, {} wrong",
            answered + silent + excepted + problems.len(),
            problems.len()
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
