//! Running a job in a virtual machine: boot, watch the console, end in exactly one outcome.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    arch::ARCH,
    console::Outcome,
    initramfs, kernels,
    machine::Machine,
    stamped::Stamped,
    watch::{self, Patience, Watch},
};
use crate::{exec, paths};

/// A probe boot under KVM takes a fraction of a second where KVM works.
const PROBE: Duration = Duration::from_secs(5);

// Accelerators, as people are told.
const KVM: &str = "kvm";
const EMULATION: &str = "tcg, its clock counts instructions";

/// A job to run in a machine of its own.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// For people, and in the name of the log.
    pub name: String,
    /// The kernel to boot.
    pub kernel: &'a kernels::Installed,
    /// The command, word by word; paths are those in the image.
    pub command: Vec<String>,
    /// What the whole run may take.
    pub limit: Duration,
    /// The machine it needs.
    pub machine: Machine,
}

/// What the clock of a machine counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Time where there is KVM, else instructions.
    Any,
    /// Instructions of its only processor, a nanosecond each; while that has nothing to do, the clock
    /// jumps to the next timer. The same run takes the same time, on any host, however busy that is.
    Instructions,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What the job wrote to the second serial port.
    pub results: String,
    /// Where everything it said is kept.
    pub log: PathBuf,
    /// The last lines of it.
    pub tail: Vec<String>,
    /// The processor time that the emulator took.
    pub cpu: Duration,
}

/// Boots a machine for `job` and waits for its outcome. A boot that says nothing at all is tried
/// once more.
pub(crate) fn run(job: &Job<'_>) -> Result<Report> {
    let directory = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(paths::directory(paths::vm())?)
        .context("cannot make a directory for the run")?;
    let image = directory.path().join("image.cpio");
    initramfs::build(
        job.kernel,
        job.machine.hardware.drivers,
        &job.command,
        &image,
    )?;
    let accelerator = match job.machine.clock {
        Clock::Any => accelerator(job.kernel),
        Clock::Instructions => EMULATION,
    };
    exec::say(format!(
        "{}: booting Linux {} ({accelerator})",
        job.name, job.kernel.release
    ));
    let report = boot(job, accelerator, directory.path())?;
    if !matches!(report.outcome, Outcome::Silent(_)) {
        return Ok(report);
    }
    exec::say(format!(
        "{}: {}; booting once more",
        job.name, report.outcome
    ));
    boot(job, accelerator, directory.path())
}

/// KVM if a machine really boots with it, else emulation. Tried once.
fn accelerator(kernel: &kernels::Installed) -> &'static str {
    static TRIED: OnceLock<bool> = OnceLock::new();
    let usable = *TRIED.get_or_init(|| Path::new("/dev/kvm").exists() && boots_with_kvm(kernel));
    if usable { KVM } else { EMULATION }
}

/// Without an image the kernel panics and the machine goes off: that is a boot.
fn boots_with_kvm(kernel: &kernels::Installed) -> bool {
    let mut command = machine(KVM, kernel);
    command
        .args(["-serial", "null"])
        .args(["-append", "panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        return false;
    };
    let mut machine = Emulator(child);
    let deadline = Instant::now() + PROBE;
    while Instant::now() < deadline {
        match machine.0.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) => return status.success(),
            Err(_) => return false,
        }
    }
    false
}

fn machine(accelerator: &str, kernel: &kernels::Installed) -> Command {
    // A machine does not outlive the command that started it, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if accelerator != KVM {
        // An emulator whose clock counts instructions gives way to tests that look at a real clock.
        command.args(["nice", "-n", "19"]);
    }
    command
        .arg(ARCH.emulator)
        .args(if accelerator == KVM {
            ARCH.kvm
        } else {
            ARCH.emulation
        })
        .args(["-m", "1024", "-nic", "none", "-no-reboot"])
        .args(["-nodefaults", "-display", "none", "-monitor", "none"])
        .arg("-kernel")
        .arg(&kernel.image);
    command
}

/// The emulator's process; it never outlives this.
struct Emulator(Child);

impl Emulator {
    /// Returns the processor time of the process so far, or in all if it has ended and nothing has waited for it.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        cpu_of(&stat)
    }
}

/// Returns user and system time of a line of `/proc/PID/stat`, which has them in hundredths of a second (`USER_HZ`).
fn cpu_of(stat: &str) -> Duration {
    // The name of the program, in brackets, can have spaces.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Fails only if it is gone already.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn boot(job: &Job<'_>, accelerator: &str, directory: &Path) -> Result<Report> {
    let results = directory.join("results");
    let errors = directory.join("errors");
    let (log, log_file) = create_log(&job.name)?;
    let mut log_file = Stamped::new(log_file);
    let mut command = machine(accelerator, job.kernel);
    command
        .args(job.machine.hardware.arguments())
        .arg("-initrd")
        .arg(directory.join("image.cpio"))
        .arg("-append")
        .arg(format!(
            "{} {}",
            ARCH.command_line,
            job.machine.setup.command_line()
        ))
        .args(["-serial", "stdio", "-serial"])
        .arg(format!("file:{}", results.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).context("cannot make a file for QEMU's messages")?);
    let shown = exec::shown(&command);
    let child = command
        .spawn()
        .with_context(|| format!("cannot start `{shown}` (Debian package {})", ARCH.package))?;
    let mut machine = Emulator(child);
    let Some(output) = machine.0.stdout.take() else {
        bail!("QEMU has no console")
    };
    let mut watch = Watch::new(&job.name, Patience::within(job.limit));
    let ended = watch.until_the_end(&watch::listen(output), &mut log_file)?;
    let cpu = machine.cpu();
    let outcome = match ended {
        Some(outcome) => outcome,
        None => watch.outcome().map_or_else(
            || {
                let status = machine.0.wait().context("cannot wait for QEMU")?;
                let said = fs::read_to_string(&errors).unwrap_or_default();
                Ok::<_, anyhow::Error>(Outcome::Gone(format!("{status} {}", said.trim())))
            },
            Ok,
        )?,
    };
    drop(machine);
    Ok(Report {
        outcome,
        results: fs::read_to_string(&results).unwrap_or_default(),
        log,
        tail: watch.into_tail(),
        cpu,
    })
}

fn create_log(name: &str) -> Result<(PathBuf, File)> {
    let directory = paths::directory(paths::vm().join("logs"))?;
    let (file, path) = tempfile::Builder::new()
        .prefix(&format!("{}-", name.replace(' ', "-")))
        .suffix(".log")
        .tempfile_in(&directory)
        .with_context(|| format!("cannot make a log in {}", directory.display()))?
        .keep()?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_time() {
        let stat = "17 (a ) b) S 1 17 17 0 -1 4194560 1 2 3 4 1234 66 7 8 39 19 1 0 5\n";
        assert_eq!(cpu_of(stat), Duration::from_secs(13));
        assert_eq!(cpu_of(""), Duration::ZERO);
    }
}
