//! The topology of a row, with an agent that is started when the row says so.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsStr,
    fmt, fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::Signal;

use super::{
    row::Play,
    site::{LAN, PARENT, Site},
    status::Parent,
};
use crate::{
    agent::{Agent, READY_WITHIN, run_pinned},
    command, init,
    probe::{packet::PacketSocket, until},
};

/// For what is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The time within which an address that is answered at all is answered.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// A question without an answer is over after this.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// A topology and its agent; both are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) play: Play,
    pub(crate) site: Site,
    /// States of the parent in which an agent has started.
    pub(crate) started: &'static [&'static str],
    agent: Option<Agent>,
    /// The options of the last start.
    options: Vec<String>,
    /// What is tried at the moment, for problems.
    case: RefCell<String>,
    /// Words by which commands have named causes.
    named: RefCell<BTreeSet<String>>,
}

impl Scene {
    /// Plays on a topology that is there already; no agent runs.
    pub(crate) fn on(play: &Play, site: Site) -> Self {
        Self {
            play: play.clone(),
            site,
            started: &["ready", "degraded"],
            agent: None,
            options: Vec::new(),
            case: RefCell::default(),
            named: RefCell::default(),
        }
    }

    /// Names what is tried from now on; problems begin with it.
    pub(crate) fn case(&self, case: impl Into<String>) {
        self.case.replace(case.into());
    }

    /// Records that a command has named a cause by this word.
    pub(crate) fn name(&self, word: &str) {
        self.named.borrow_mut().insert(word.to_owned());
    }

    /// Requires that each of these words was named.
    pub(crate) fn expect_named(&self, words: impl Iterator<Item = &'static str>) {
        let named = self.named.borrow();
        self.expect_none(
            "causes that were not named",
            words.filter(|word| !named.contains(*word)),
        );
    }

    /// Records a problem unless `is_so`.
    pub(crate) fn expect(&self, is_so: bool, otherwise: impl FnOnce() -> String) {
        self.play.expect(is_so, || {
            let (mode, flag, case) = (self.mode, self.flag, self.case.borrow());
            format!("{mode} {flag} {case}: {}", otherwise())
        });
    }

    /// Requires that `found`, which is the value of `what`, is `required`.
    pub(crate) fn expect_eq<T: Value>(&self, what: &str, found: T, required: T) {
        self.expect(found == required, || {
            format!("{what}: {found:?}, not {required:?}")
        });
    }

    /// Requires that `found`, which is the value of `what`, is at least `least`.
    pub(crate) fn expect_least<T: Value>(&self, what: &str, found: T, least: T) {
        self.expect(found >= least, || {
            format!("{what}: {found:?}, less than {least:?}")
        });
    }

    /// Requires that `found`, which is the value of `what`, is at most `most`.
    pub(crate) fn expect_most<T: Value>(&self, what: &str, found: T, most: T) {
        self.expect(found <= most, || {
            format!("{what}: {found:?}, more than {most:?}")
        });
    }

    /// Requires that nothing is in `found`.
    pub(crate) fn expect_none(&self, what: &str, found: impl IntoIterator<Item: fmt::Debug>) {
        let found: Vec<_> = found.into_iter().collect();
        self.expect(found.is_empty(), || format!("{what}: {found:?}"));
    }

    /// Requires that `text`, which is that of `what`, contains `part`.
    pub(crate) fn expect_has(&self, what: &str, text: &str, part: &str) {
        self.expect(text.contains(part), || {
            format!("{what} has no {part:?}: {text}")
        });
    }

    /// Listens to frames of `ether_type` on the LAN.
    pub(crate) fn listen(&self, ether_type: u16) -> Result<PacketSocket> {
        self.vm01.run(|| PacketSocket::open(LAN, ether_type))
    }

    /// Adds to the outcome with the kernel alone.
    pub(crate) fn alone(&self, text: impl AsRef<str>) {
        self.play.alone(text);
    }

    /// Adds to the outcome with the agent.
    pub(crate) fn with_agent(&self, text: impl AsRef<str>) {
        self.play.with_agent(text);
    }

    /// Starts the agent with `options` and waits until it serves the parent.
    pub(crate) fn start(&mut self, options: &[&str]) -> Result<()> {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self.start_again()
    }

    /// Starts the agent with the options of its last start.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let program = self.play.plan.ipvlan.clone();
        self.start_build(&program)
    }

    /// The same with another build.
    pub(crate) fn start_build(&mut self, program: &Path) -> Result<()> {
        let command = run(program, PARENT, &pin_dir(PARENT), &self.options);
        self.agent = Some(self.spawn_by(program, command)?);
        Ok(())
    }

    /// Starts the agent by a command of the row's own.
    pub(crate) fn start_command(&mut self, command: Command) -> Result<()> {
        self.agent = Some(self.spawn_by(&self.play.plan.ipvlan, command)?);
        Ok(())
    }

    /// Starts an agent that the row keeps itself.
    pub(crate) fn spawn(&self, options: &[&str]) -> Result<Agent> {
        self.spawn_by(&self.play.plan.ipvlan, self.command(options))
    }

    fn spawn_by(&self, program: &Path, command: Command) -> Result<Agent> {
        let mut agent = Agent::spawn(command, program, runtime_dir(PARENT), &self.host)?;
        agent.wait_until(READY_WITHIN, "serving", |status| {
            let state = status["parents"][0]["state"].as_str();
            state.is_some_and(|state| self.started.contains(&state))
        })?;
        Ok(agent)
    }

    /// Returns `ipvlan run` on the parent, as the agent is started.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        run(&self.play.plan.ipvlan, PARENT, &pin_dir(PARENT), options)
    }

    /// Runs a command on the host; returns its exit code and what it wrote to its standard error, or nothing if it does
    /// not end within `patience`.
    pub(crate) fn ended(
        &self,
        command: &mut Command,
        patience: Duration,
    ) -> Result<Option<(i32, String)>> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = self.host.run(|| Ok(command.spawn()?))?;
        // It writes no more than fits into a pipe.
        let Some(status) = command::wait(&mut child, patience)? else {
            return Ok(None);
        };
        let said = child.wait_with_output()?.stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(Some((init::exit_code(status), said)))
    }

    /// Adds, deletes or shows something of the parent: `tc OBJECT VERB dev PARENT REST`.
    pub(crate) fn tc(&self, object_verb: &str, rest: &str) -> Result<String> {
        let words = format!("{object_verb} dev {PARENT} {rest}");
        let mut command = Command::new("tc");
        command.args(words.split_whitespace());
        self.host.command(&mut command, "")
    }

    /// Ends the agent with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.take_agent()?.kill()
    }

    /// Stops the agent; the pinned datapath stays.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.take_agent()?.stop()
    }

    /// Stops the agent and removes everything that it left.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.stop()?;
        self.cleanup()
    }

    /// [Clears](Self::clear) it if an agent runs.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.agent {
            Some(_) => self.clear(),
            None => Ok(()),
        }
    }

    /// Runs `ipvlan cleanup`.
    pub(crate) fn cleanup(&self) -> Result<()> {
        let mut command = self.runtime_command("cleanup");
        command.arg("--pin-dir").arg(pin_dir(PARENT));
        self.host.command(&mut command, "").map(drop)
    }

    /// Returns a command of `ipvlan` that finds the agent.
    pub(crate) fn runtime_command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.play.plan.ipvlan);
        command.arg(verb).arg("--runtime-dir");
        command.arg(runtime_dir(PARENT));
        command
    }

    /// Removes the agent and what it left, whatever state a failed row left it in.
    pub(crate) fn remove_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            // A row may have stopped it from running at all.
            let _gone = agent.signal(Signal::SIGCONT);
            let _killed = agent.kill();
        }
        // What a failed row has left may not be removable, and the site goes then.
        let _removed = self.cleanup();
        for directory in [runtime_dir(PARENT), pin_dir(PARENT)] {
            let _absent = fs::remove_dir_all(directory);
        }
    }

    /// Returns the running agent.
    pub(crate) fn agent(&self) -> Result<&Agent> {
        self.agent.as_ref().context("no agent is running")
    }

    /// Takes the running agent out, for a row that starts others meanwhile.
    pub(crate) fn take_agent(&mut self) -> Result<Agent> {
        self.agent.take().context("no agent is running")
    }

    /// Puts back what runs now.
    pub(crate) fn give_agent(&mut self, agent: Option<Agent>) {
        self.agent = agent;
    }

    /// Returns the running agent, to be waited for.
    pub(crate) fn agent_mut(&mut self) -> Result<&mut Agent> {
        self.agent.as_mut().context("no agent is running")
    }

    /// Returns the status of the parent.
    pub(crate) fn parent(&self) -> Result<Parent> {
        Parent::of(&self.agent()?.status()?).context("the status has no parent")
    }

    /// Returns the output of `ipvlan status`, as text.
    pub(crate) fn status_text(&self) -> Result<String> {
        // 1: a parent is degraded.
        let mut command = self.runtime_command("status");
        self.host.command_to(&mut command, "", &[0, 1])
    }

    /// Waits until `is_so` of the parent's status.
    pub(crate) fn wait_parent(
        &mut self,
        what: &str,
        is_so: impl Fn(&Parent) -> bool,
    ) -> Result<()> {
        self.agent_mut()?.wait_until(PATIENCE, what, |status| {
            Parent::of(status).is_some_and(|parent| is_so(&parent))
        })
    }
}

/// What a row can measure.
pub(crate) trait Value: fmt::Debug + PartialOrd + Copy {}

impl<T: fmt::Debug + PartialOrd + Copy> Value for T {}

impl Deref for Scene {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Site {
        &mut self.site
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.remove_agent();
        }
    }
}

/// Returns where an agent for `parent` has its lock and socket.
pub(crate) fn runtime_dir(parent: &str) -> PathBuf {
    format!("/run/ipvlan-lab-{parent}").into()
}

/// Returns where it pins.
pub(crate) fn pin_dir(parent: &str) -> PathBuf {
    // A BPF filesystem has no dots in names.
    format!("/sys/fs/bpf/ipvlan-lab-{}", parent.replace('.', "-")).into()
}

/// Returns `program run` on `parent`, with files of its own.
pub(crate) fn run(
    program: &Path,
    parent: &str,
    pins: &Path,
    options: &[impl AsRef<OsStr>],
) -> Command {
    let mut command = run_pinned(program, &runtime_dir(parent), &[parent]);
    command.arg("--pin-dir").arg(pins).args(options);
    command
}

/// Waits until `is_so`; returns how long that took.
pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    let in_time = until(PATIENCE, Duration::from_millis(5), is_so)?;
    ensure!(in_time, "not within {PATIENCE:?}: {what}");
    Ok(begun.elapsed())
}

/// Runs `attack` in a thread of its own while `meanwhile` runs; its flag is set then. Returns what both returned.
pub(crate) fn beside<A: Send, M>(
    attack: impl FnOnce(&AtomicBool) -> Result<A> + Send,
    meanwhile: impl FnOnce() -> Result<M>,
) -> Result<(A, M)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let attacking = scope.spawn(|| attack(&stop));
        let found = meanwhile();
        stop.store(true, Ordering::Relaxed);
        let attacked = attacking
            .join()
            .map_err(|_| anyhow!("the other thread panicked"))?;
        let found = found?;
        Ok((attacked?, found))
    })
}
