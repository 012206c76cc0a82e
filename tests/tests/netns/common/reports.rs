//! What a running agent reports: its status, in the types of its interface, and its log.

use std::{fs, thread, time::Duration};

use ipvlan_tests::agent::Agent;
use ipvlan_user::protocol::{self, Hook, Parent, ParentState, Word};
use nix::sys::signal::Signal;

use super::{PATIENCE, SOON, wait_until};

/// What tests ask of an agent.
pub(crate) trait Reports {
    fn agent(&self) -> &Agent;

    /// What `ipvlan status` reports about it.
    #[track_caller]
    fn report(&self) -> protocol::Agent {
        serde_json::from_value(self.agent().status().unwrap()).unwrap()
    }

    /// The report about the parent at `index`.
    #[track_caller]
    fn parent(&self, index: usize) -> Parent {
        self.report().parents.swap_remove(index)
    }

    /// How often ingress of its first parent counted `reason`.
    #[track_caller]
    fn ingress(&self, reason: &str) -> u64 {
        counted(&self.parent(0), Hook::Ingress, reason)
    }

    /// Hooks of its first parent.
    #[track_caller]
    fn hooks(&self) -> Vec<String> {
        hooks_of(&self.parent(0))
    }

    /// Notes on its first parent.
    #[track_caller]
    fn notes(&self) -> String {
        self.parent(0).notes.join("\n")
    }

    /// Its first parent is ready.
    #[track_caller]
    fn assert_ready(&self) {
        let parent = self.parent(0);
        assert_eq!(parent.state, ParentState::Ready, "{parent:?}");
    }

    /// It waits for the parent at `index`; the reason has this text.
    #[track_caller]
    fn assert_waiting(&self, index: usize, text: &str) {
        let parent = self.parent(index);
        assert_eq!(parent.state, ParentState::Waiting, "{parent:?}");
        assert!(parent.reason.as_ref().unwrap().contains(text), "{parent:?}");
        assert!(parent.hooks.is_empty(), "{parent:?}");
    }

    /// None of its syncs has failed.
    #[track_caller]
    fn assert_no_sync_failed(&self) {
        let sync = self.report().sync;
        assert_eq!(sync.failed, 0, "{sync:?}\n{}", self.agent().said());
    }

    /// It has logged this text.
    #[track_caller]
    fn assert_logged(&self, text: &str) {
        let said = self.agent().said();
        assert!(said.contains(text), "no {text:?} in:\n{said}");
    }

    /// How often it has logged this text.
    fn logged(&self, text: &str) -> usize {
        self.agent().said().matches(text).count()
    }

    /// It logs this text soon.
    #[track_caller]
    fn logs(&self, text: &str) {
        self.logs_times(text, 1);
    }

    /// It has logged this text so often soon.
    #[track_caller]
    fn logs_times(&self, text: &str, times: usize) {
        let is_logged = |said: &String| said.matches(text).count() >= times;
        wait_until(SOON, text, || self.agent().said(), is_logged);
    }

    /// A file of its process below `/proc`.
    fn process(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.agent().pid())).unwrap()
    }

    /// A number of `/proc/PID/status`.
    fn process_status(&self, name: &str) -> u64 {
        let status = self.process("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Number of its open file descriptors.
    fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.agent().pid());
        // The agent closes the connection of the last status a moment after the client has ended.
        let counts = (0..10).map(|_| {
            thread::sleep(Duration::from_millis(10));
            fs::read_dir(&path).unwrap().count()
        });
        counts.min().unwrap()
    }
}

impl Reports for Agent {
    fn agent(&self) -> &Agent {
        self
    }
}

/// Ends an agent by a signal.
#[track_caller]
pub(crate) fn ends(mut agent: Agent, signal: Signal) {
    agent.signal(signal).unwrap();
    agent.wait(PATIENCE).unwrap();
}

/// `hook by mechanism` of every hook of a parent.
pub(crate) fn hooks_of(parent: &Parent) -> Vec<String> {
    let hooks = parent.hooks.iter();
    let shown = hooks.map(|it| format!("{} by {}", it.hook, it.attach));
    shown.collect()
}

/// How often `hook` of a parent counted `reason`.
pub(crate) fn counted(parent: &Parent, hook: Hook, reason: &str) -> u64 {
    let counters = parent.counters.0.get(&Word::Known(hook));
    counters.and_then(|of| of.get(reason)).copied().unwrap_or(0)
}
