//! What a fault is injected into: a scene whose agent is ready, and traffic.

use std::ops::{Deref, DerefMut};

use nix::sys::signal::Signal;

use super::traffic::{Expect, Traffic};
use crate::{
    agent::Agent,
    hooks,
    rows::{prelude::*, scene::run, truth::Difference},
};

/// How long a start that fails may take.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// All of it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) scene: Scene,
    pub(super) traffic: Traffic,
}

impl Stage {
    /// Starts the agent again; until it is ready is time to heal.
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.healing(Scene::start_again)
    }

    /// The same with other options.
    pub(super) fn start(&mut self, options: &[&str]) -> Result<()> {
        self.healing(|scene| scene.start(options))
    }

    /// The same with another build.
    pub(super) fn start_build(&mut self, program: &Path) -> Result<()> {
        self.healing(|scene| scene.start_build(program))
    }

    /// The same by a command of the row's own.
    pub(super) fn start_command(&mut self, command: Command) -> Result<()> {
        self.healing(|scene| scene.start_command(command))
    }

    fn healing(&mut self, start: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        start(&mut self.scene)?;
        self.traffic.healed(begun.elapsed());
        Ok(())
    }

    /// Waits until everything is as it should be. Nobody asks the agent meanwhile, who looks around
    /// when it is asked.
    pub(super) fn settle(&mut self) -> Result<()> {
        ensure!(
            self.traffic.settle(PATIENCE),
            "not as it should be after {PATIENCE:?}: {}",
            self.traffic.unsettled()
        );
        Ok(())
    }

    /// Makes a change, after which these addresses are expected to be as said, and waits until everything is so.
    pub(super) fn change(
        &mut self,
        expected: &[(IpAddr, Expect)],
        change: impl FnOnce(&Site) -> Result<()>,
    ) -> Result<()> {
        let Self { scene, traffic } = self;
        traffic.change(expected, || change(scene))?;
        self.settle()
    }

    /// Causes an outage, during which nothing is expected of any address, and waits until everything is as at the start.
    pub(super) fn outage(&mut self, cause: impl FnOnce(&Site) -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        cause(self)?;
        self.recovered(begun)
    }

    /// Waits until everything is as at the start; since `begun` nothing was expected of any address.
    pub(super) fn recovered(&mut self, begun: Instant) -> Result<()> {
        self.traffic.recovered(begun);
        self.settle()
    }

    /// Lets the agent, which stands still, run again; then these addresses are expected to be as said.
    pub(super) fn wake(&mut self, expected: &[(IpAddr, Expect)]) -> Result<()> {
        let Self { scene, traffic } = self;
        traffic.change(expected, || scene.agent()?.signal(Signal::SIGCONT))
    }

    /// Waits until agent and kernel agree; returns how they differ if they do not.
    pub(super) fn difference(&self) -> Result<Difference> {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let found = Difference::of(self, &self.parent()?)?;
            if found.is_none() || Instant::now() >= deadline {
                return Ok(found);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Requires that agent and kernel come to agree.
    pub(super) fn expect_agreement(&self, case: &str) -> Result<()> {
        let found = self.difference()?;
        self.expect(found.is_none(), || format!("{case}: {found:?}"));
        Ok(())
    }

    /// Returns `ipvlan run` on `parent` of the host, with files and pins of its own.
    pub(super) fn command_for(&self, parent: &str) -> Command {
        let none: [&str; 0] = [];
        run(&self.play.plan.ipvlan, parent, &pin_dir(parent), &none)
    }

    /// Starts a second agent, for `parent` of the host, with files and pins of its own.
    pub(super) fn second(&self, parent: &str) -> Result<Second> {
        self.second_with(parent, pin_dir(parent))
    }

    /// The same with its pins in `pins`.
    pub(super) fn second_with(&self, parent: &str, pins: PathBuf) -> Result<Second> {
        let program = &self.play.plan.ipvlan;
        let none: [&str; 0] = [];
        let command = run(program, parent, &pins, &none);
        let mut agent = Agent::spawn(command, program, runtime_dir(parent), &self.host)?;
        agent.wait_ready(&[parent])?;
        Ok(Second { agent, pins })
    }

    /// Requires that nothing is attached to another device of the host than the parent.
    pub(super) fn expect_nothing_on(&self, device: &str, case: &str) -> Result<()> {
        // Qdiscs are listed of all devices.
        let parents = format!(" dev {PARENT} ");
        let found = hooks::attached(&self.host, &[device])?.into_iter();
        let left = found.filter(|line| !line.contains(&parents));
        self.expect_none(&format!("{case}: left on {device}"), left);
        Ok(())
    }

    /// Requires that a start fails with `code` and names `cause`.
    pub(super) fn expect_failure(
        &self,
        command: &mut Command,
        code: i32,
        cause: &str,
    ) -> Result<()> {
        let ended = self.ended(command, ENDS_WITHIN)?;
        let (found, said) = ended.with_context(|| format!("it runs after {ENDS_WITHIN:?}"))?;
        self.expect(found == code && said.contains(cause), || {
            format!("not {code} because of {cause:?}: it ended with {found}: {said}")
        });
        Ok(())
    }
}

impl Deref for Stage {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

/// An agent beside the one under test.
#[derive(Debug)]
pub(super) struct Second {
    pub(super) agent: Agent,
    pins: PathBuf,
}

impl Second {
    /// Stops it and removes what it pinned.
    pub(super) fn stop(self) -> Result<()> {
        self.agent.stop()?;
        let _nothing_pinned = fs::remove_dir_all(&self.pins);
        Ok(())
    }
}

/// Returns who on the link of `device` answers a broadcast request of `asker` for the IPv4 address of `pair`.
pub(super) fn ask(
    asker: &Netns,
    device: &str,
    pair: Pair,
    patience: Duration,
) -> Result<Option<[u8; 6]>> {
    neighbour::who_has(asker, device, VM01.v4.into(), pair.v4.into(), patience)
}
