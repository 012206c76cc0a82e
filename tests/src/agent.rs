//! The agent under test: started in a netns, waited for, stopped.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use aya::programs::loaded_programs;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{command, netns::Netns};

/// Verifying its programs takes long where the machine is emulated and shared.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
const RUNTIME_DIR: &str = "--runtime-dir";

/// A running `ipvlan run`; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    program: PathBuf,
    runtime_dir: PathBuf,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// Starts `program run --iface PARENT… OPTION…` in `netns` and waits until it is ready on
    /// every parent.
    pub fn start(
        program: &Path,
        netns: &Netns,
        parents: &[&str],
        options: &[&str],
    ) -> Result<Self> {
        let runtime_dir = new_runtime_dir();
        let mut command = run(program, &runtime_dir, parents);
        command.args(options);
        let mut agent = Self::spawn(command, program, runtime_dir, netns)?;
        agent.wait_ready(parents)?;
        Ok(agent)
    }

    /// Starts `command` in `netns` and does not wait for anything. It becomes `program run` with
    /// this runtime directory, at once or by replacing itself.
    pub fn spawn(
        mut command: Command,
        program: &Path,
        runtime_dir: PathBuf,
        netns: &Netns,
    ) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = netns.run(|| {
            command
                .spawn()
                .with_context(|| format!("cannot start {}", program.display()))
        })?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    said.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                }
            });
        }
        Ok(Self {
            program: program.to_owned(),
            runtime_dir,
            child,
            said,
        })
    }

    /// Waits until it is ready on every one of `parents`.
    pub fn wait_ready(&mut self, parents: &[&str]) -> Result<()> {
        self.wait_until(READY_WITHIN, "ready", |status| is_ready(status, parents))
    }

    /// The process of the agent.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its lock files and its socket are.
    #[must_use]
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// Waits until `is_so` of this agent's status; otherwise shows what the agent said.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the agent ended before it was {what}: {status}\n{}",
                    self.said()
                );
            }
            let seen = self.status();
            if seen.as_ref().is_ok_and(&is_so) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let seen = seen.map_or_else(|error| format!("{error:#}"), |seen| seen.to_string());
                bail!(
                    "the agent is not {what} after {patience:?}; its status: {seen}\n{}",
                    self.said()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// The programs that are attached, and how many instructions the verifier followed for each.
    pub fn verified(&self) -> Result<Vec<(String, u32)>> {
        let status = self.status()?;
        let hooks = status["parents"][0]["hooks"].as_array();
        let hooks = hooks.with_context(|| format!("no hooks in {status}"))?;
        ensure!(hooks.len() > 1, "the agent is not attached: {status}");
        let verified = hooks.iter().map(|hook| {
            let name = hook["program"].as_str().context("a program has a name")?;
            let id = hook["program_id"].as_u64().context("a program has an id")?;
            let verified = verified_instructions(id)?;
            ensure!(
                verified > 0,
                "the kernel does not report what verifying took"
            );
            Ok((name.to_owned(), verified))
        });
        verified.collect()
    }

    /// Returns how many frames the program at `hook` of the first parent has counted for each of these reasons.
    pub fn counted<const N: usize>(&self, hook: &str, reasons: [&str; N]) -> Result<[u64; N]> {
        let status = self.status()?;
        let counters = &status["parents"][0]["counters"][hook];
        ensure!(counters.is_object(), "no counters of {hook} in {status}");
        Ok(reasons.map(|reason| counters[reason].as_u64().unwrap_or_default()))
    }

    /// What `ipvlan status --fresh --json` says about this agent.
    pub fn status(&self) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command
            .args(["status", "--fresh", "--json", RUNTIME_DIR])
            .arg(&self.runtime_dir);
        let started = Instant::now();
        loop {
            // 1: a parent is degraded, or an agent did not answer.
            let shown = command::run_to(&mut command, "", &[0, 1])?;
            let status: Value = serde_json::from_str(&shown).context("status is not JSON")?;
            let mut agents = status["agents"].as_array().into_iter().flatten();
            if let Some(agent) = agents.find(|agent| agent["pid"] == self.pid()) {
                return Ok(agent.clone());
            }
            // In an emulated machine the verifier alone can keep an agent from answering for longer than a client
            // waits.
            ensure!(
                shown.contains("does not answer") && started.elapsed() < READY_WITHIN,
                "no agent with pid {} in {shown}",
                self.pid()
            );
        }
    }

    /// Everything the agent wrote to its standard error so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }

    /// Ends the agent with SIGTERM; it must exit with success in time and leave no file behind.
    pub fn stop(self) -> Result<()> {
        self.stop_by(Signal::SIGTERM)
    }

    /// The same with another signal that asks it to stop.
    pub fn stop_by(mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let status = self.wait(STOPS_WITHIN)?;
        ensure!(
            status.success(),
            "the agent ended with {status} after {signal}\n{}",
            self.said()
        );
        ensure!(
            !self.runtime_dir.exists(),
            "the agent left {} behind",
            self.runtime_dir.display()
        );
        Ok(())
    }

    /// Ends the agent with SIGKILL: whatever it leaves behind stays.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait(STOPS_WITHIN).map(drop)
    }

    /// Sends a signal and does not wait for anything.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.as_pid()?, signal).context("cannot signal the agent")
    }

    /// Whether it runs no more.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until the agent has ended.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        command::wait(&mut self.child, patience)?
            .with_context(|| format!("the agent still ran after {patience:?}\n{}", self.said()))
    }

    fn as_pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.pid())?))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A chance to detach; the netns it is attached in goes away in any case.
            let _gone = self.as_pid().map(|pid| kill(pid, Signal::SIGTERM));
            let _reaped = command::wait(&mut self.child, STOPS_WITHIN);
        }
    }
}

/// `program run --runtime-dir DIR --no-pin --iface PARENT…`; options can be added.
#[must_use]
pub fn run(program: &Path, runtime_dir: &Path, parents: &[&str]) -> Command {
    let mut command = run_pinned(program, runtime_dir, parents);
    command.arg("--no-pin");
    command
}

/// The same without `--no-pin`: the datapath outlives the agent.
#[must_use]
pub fn run_pinned(program: &Path, runtime_dir: &Path, parents: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("run").arg(RUNTIME_DIR).arg(runtime_dir);
    for parent in parents {
        command.args(["--iface", parent]);
    }
    command
}

/// A directory of this agent alone, so that agents of two runs never see each other's files.
#[must_use]
pub fn new_runtime_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/run/ipvlan-lab-{}-{number}", process::id()))
}

/// Returns the addresses of a status, each with its child.
pub(crate) fn addresses(status: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    list(&status["parents"])
        .flat_map(|parent| list(&parent["children"]))
        .flat_map(|child| list(&child["addresses"]).map(move |address| (child, address)))
}

/// Returns the values of an array; none of anything else.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_ready(status: &Value, parents: &[&str]) -> bool {
    let Some(seen) = status["parents"].as_array() else {
        return false;
    };
    parents.iter().all(|name| {
        seen.iter()
            .any(|parent| parent["name"] == *name && parent["state"] == "ready")
    })
}

/// Returns how many instructions the verifier looked at for the program with this id.
fn verified_instructions(id: u64) -> Result<u32> {
    // A program that another process removes meanwhile is an error of the iterator.
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program = programs.find(|program| u64::from(program.id()) == id);
    let verified = program.and_then(|program| program.verified_instruction_count());
    verified.with_context(|| format!("no program {id}, or a kernel that does not count"))
}
