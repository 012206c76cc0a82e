//! What the verbs have in common that boot some kernels and judge what was found there:
//! `oracle`, `faults`, `attacks`, `nodes`, `nics`, `differential`.

use std::time::Duration;

use anyhow::Result;

use crate::{
    build, exec,
    lab::{self, Findings},
    side_by_side::{self, Job},
    vm::{kernels::Kernel, machine::Machine},
};

/// For a verb that takes nothing that is not built anyway.
pub(crate) const NOTHING: fn() -> Result<()> = || Ok(());

/// Where to ask.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The kernel to boot; without it all that the verb is for, side by side
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
}

/// Which rows to play, and where.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct RowArgs {
    #[command(flatten)]
    at: Args,
    /// Only the rows of this number, or whose name contains this; can be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
}

/// A verb of the lab whose findings are judged.
pub(crate) struct Instrument {
    /// What `lab` is told.
    pub verb: &'static str,
    /// What else `lab` is told, by kernel.
    pub options: fn(Kernel) -> &'static [&'static str],
    /// What all of it may take on a busy host.
    pub limit: Duration,
    /// What has to be built besides.
    pub prepare: fn() -> Result<()>,
    /// The machine that it needs.
    pub machine: Machine,
    /// Where it is run.
    pub kernels: &'static [Kernel],
    /// What is wrong with what was found, beside a failure of the verb itself.
    pub judge: fn(&Findings) -> Vec<String>,
}

impl Instrument {
    /// Builds and asks; fails if something is wrong.
    pub(crate) fn run(&self, args: &Args) -> Result<()> {
        self.run_with(args, &[])
    }

    /// Runs the rows whose names contain one of these texts; all without any.
    pub(crate) fn run_only(&self, args: &RowArgs) -> Result<()> {
        let options: Vec<_> = args
            .only
            .iter()
            .flat_map(|only| ["--only".to_owned(), only.clone()])
            .collect();
        self.run_with(&args.at, &options)
    }

    /// The same, with more to tell `lab`.
    pub(crate) fn run_with(&self, args: &Args, options: &[String]) -> Result<()> {
        build::release()?;
        (self.prepare)()?;
        let one = args.kernel.as_ref().map(std::slice::from_ref);
        let failures = side_by_side::run(self.jobs(one.unwrap_or(self.kernels), options)).concat();
        exec::fail_for(&format!("{}:", self.verb), &failures)
    }

    /// What asking everywhere takes once everything is built; each says what was wrong.
    pub(crate) fn everywhere(&self) -> Vec<Job<'_, Vec<String>>> {
        self.jobs(self.kernels, &[])
    }

    fn jobs<'a>(
        &'a self,
        kernels: &'a [Kernel],
        options: &'a [String],
    ) -> Vec<Job<'a, Vec<String>>> {
        let job = |kernel: &'a Kernel| -> Job<'a, Vec<String>> {
            Box::new(move || self.on(*kernel, options))
        };
        kernels.iter().map(job).collect()
    }

    fn on(&self, kernel: Kernel, options: &[String]) -> Vec<String> {
        let words: Vec<_> = std::iter::once(self.verb)
            .chain((self.options)(kernel).iter().copied())
            .chain(options.iter().map(String::as_str))
            .collect();
        match lab::in_machine(self.machine, kernel, &words, self.limit) {
            Ok(findings) => {
                let mut failures = (self.judge)(&findings);
                failures.extend(findings.failure);
                failures
            }
            Err(error) => vec![format!("{kernel}: {error:#}")],
        }
    }
}
