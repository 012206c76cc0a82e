//! The netns that cannot be read: logged once, shown in `status`.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::{
    discover::Renewed,
    facts::{Netns, NetnsId, Snapshot},
};

/// Why a netns cannot be read, and since how many tries.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    text: String,
    tries: u64,
    is_transient: bool,
}

/// The netns that could not be read the last time it was tried.
#[derive(Debug, Default)]
pub(super) struct Unreadable(BTreeMap<NetnsId, Reason>);

impl Unreadable {
    /// Takes over what was read and what could not be.
    pub(super) fn update(&mut self, renewed: &Renewed, snapshot: &Snapshot) {
        for id in renewed.took.keys() {
            let Some(failure) = renewed.failures.get(id) else {
                if self.0.remove(id).is_some_and(|reason| !reason.is_transient) {
                    info!(netns = name(*id, snapshot), "network namespace is readable");
                }
                continue;
            };
            let tries = self.0.get(id).map_or(0, |reason| reason.tries);
            // Its churn is no news.
            if tries == 0 && !failure.is_transient {
                warn!(
                    netns = name(*id, snapshot),
                    "network namespace cannot be read, its children stay as they were: {}",
                    failure.text
                );
            }
            self.0.insert(
                *id,
                Reason {
                    text: failure.text.clone(),
                    tries: tries.saturating_add(1),
                    is_transient: failure.is_transient,
                },
            );
        }
        self.0.retain(|&id, _| snapshot.netns(id).is_some());
    }

    /// One line for each of them.
    pub(super) fn notes(&self, snapshot: &Snapshot) -> Vec<String> {
        let line = |(&id, reason): (&NetnsId, &Reason)| {
            let Reason { text, tries, .. } = reason;
            let name = name(id, snapshot);
            format!("{name}: cannot be read ({tries} tries): {text}")
        };
        self.0.iter().map(line).collect()
    }
}

/// `nsid 5 (pid 944)`, or with a file name of it in place of the process.
fn name(id: NetnsId, snapshot: &Snapshot) -> String {
    let NetnsId::Nsid(nsid) = id else {
        return "own netns".to_owned();
    };
    let netns = snapshot.netns(id);
    let by = |netns: &Netns| match (netns.names.first(), netns.pids.lowest()) {
        (Some(name), _) => format!(" ({name})"),
        (None, Some(pid)) => format!(" (pid {pid})"),
        (None, None) => String::new(),
    };
    format!("nsid {nsid}{}", netns.map_or_else(String::new, by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::Failure;

    const ID: NetnsId = NetnsId::Nsid(5);

    fn renewed(failure: Option<&str>) -> Renewed {
        let failure = failure.map(|text| Failure {
            text: text.to_owned(),
            is_transient: false,
        });
        Renewed {
            took: [(ID, std::time::Duration::ZERO)].into(),
            failures: failure.map(|failure| (ID, failure)).into_iter().collect(),
            ..Renewed::default()
        }
    }

    #[test]
    fn a_netns_that_cannot_be_read_is_noted_until_it_can_be_or_is_gone() {
        let netns = Netns {
            id: ID,
            pids: 944.into(),
            ..Netns::default()
        };
        let mut snapshot = Snapshot {
            netnses: vec![netns],
            ..Snapshot::default()
        };
        let mut unreadable = Unreadable::default();
        for tries in 1..3 {
            unreadable.update(&renewed(Some("broken")), &snapshot);
            let expected = format!("nsid 5 (pid 944): cannot be read ({tries} tries): broken");
            assert_eq!(unreadable.notes(&snapshot), [expected]);
        }
        unreadable.update(&Renewed::default(), &snapshot);
        assert_eq!(unreadable.notes(&snapshot).len(), 1);
        unreadable.update(&renewed(None), &snapshot);
        assert_eq!(unreadable.notes(&snapshot), [""; 0]);

        unreadable.update(&renewed(Some("broken")), &snapshot);
        snapshot.netnses[0].names.push("blue".to_owned());
        assert!(unreadable.notes(&snapshot)[0].starts_with("nsid 5 (blue): "));
        snapshot.netnses.clear();
        unreadable.update(&Renewed::default(), &snapshot);
        assert_eq!(unreadable.notes(&snapshot), [""; 0]);
    }
}
