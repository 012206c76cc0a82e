//! The first process of the lab's virtual machine.
//!
//! In: `/etc/modules` (paths of modules to load, in order) and `/etc/job` (one word of a command
//! per line). Out: exactly one line `OUTCOME: pass` or `OUTCOME: fail CODE` on the console, then
//! power off. Results travel over the second serial port, which is made raw here.

use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        termios::{self, SetArg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, sync},
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const RESULTS: &str = "/dev/ttyS1";
/// `MODULE_INIT_COMPRESSED_FILE` of `linux/module.h`.
const COMPRESSED: libc::c_uint = 4;
/// What a job that could not even be started ends with.
const NOT_STARTED: i32 = 127;

/// Is this process the first one of a machine?
#[must_use]
pub fn is_first_process() -> bool {
    std::process::id() == 1
}

/// Runs the job and powers off. Only comes back when the machine cannot be powered off.
pub fn boot() -> Result<()> {
    let code = match prepare().and_then(|()| run_job()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab init: {error:#}");
            NOT_STARTED
        }
    };
    report(code);
    sync();
    reboot(RebootMode::RB_POWER_OFF).context("cannot power off")?;
    Ok(())
}

fn report(code: i32) {
    let mut console = std::io::stdout();
    let outcome = match code {
        0 => "OUTCOME: pass".to_owned(),
        code => format!("OUTCOME: fail {code}"),
    };
    // With no console left there is nobody to tell.
    let _unheard = writeln!(console, "{outcome}").and_then(|()| console.flush());
    let _not_a_terminal = termios::tcdrain(&console);
}

fn prepare() -> Result<()> {
    for (source, target, kind) in [
        (c"devtmpfs", c"/dev", c"devtmpfs"),
        (c"proc", c"/proc", c"proc"),
        (c"sysfs", c"/sys", c"sysfs"),
        (c"bpf", c"/sys/fs/bpf", c"bpf"),
        (c"run", c"/run", c"tmpfs"),
        (c"tmp", c"/tmp", c"tmpfs"),
    ] {
        mounted(source, target, kind)?;
    }
    if hides_btf() {
        // The agent loads its object as on a kernel that has none.
        mounted(c"btf", c"/sys/kernel/btf", c"tmpfs")?;
    }
    open_console()?;
    load_modules(Path::new("/etc/modules"))?;
    make_raw(Path::new(RESULTS))?;
    let path = std::env::var("PATH").unwrap_or_default();
    if path != PATH {
        // SAFETY: the first process has one thread here; nothing reads the environment meanwhile.
        unsafe { std::env::set_var("PATH", PATH) };
    }
    crate::command::run(Command::new("ip").args(["link", "set", "lo", "up"]), "").map(drop)
}

/// Whether the kernel's command line wants its BTF out of sight.
fn hides_btf() -> bool {
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    words.split_whitespace().any(|word| word == "lab.btf=off")
}

fn mounted(source: &CStr, target: &CStr, kind: &CStr) -> Result<()> {
    let directory = target.to_string_lossy();
    // Most of them come with the image or with the kernel; mounting says if one is missing.
    let _exists = fs::create_dir_all(&*directory);
    match mount(
        Some(source),
        target,
        Some(kind),
        MsFlags::empty(),
        None::<&CStr>,
    ) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot mount {directory}")),
    }
}

fn open_console() -> Result<()> {
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")
        .context("cannot open /dev/console")?;
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    Ok(())
}

fn load_modules(list: &Path) -> Result<()> {
    let paths = match fs::read_to_string(list) {
        Ok(paths) => paths,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", list.display())),
    };
    for path in paths.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let module = File::open(path).with_context(|| format!("cannot open module {path}"))?;
        match finit_module(&module, c"", init_flags(path)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot load module {path}")),
        }
    }
    Ok(())
}

fn init_flags(path: &str) -> ModuleInitFlags {
    if Path::new(path).extension().is_some_and(|kind| kind == "ko") {
        ModuleInitFlags::empty()
    } else {
        // .ko.xz and the like: the kernel unpacks them.
        ModuleInitFlags::from_bits_retain(COMPRESSED)
    }
}

fn make_raw(port: &Path) -> Result<()> {
    if !port.exists() {
        return Ok(());
    }
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(port)
        .with_context(|| format!("cannot open {}", port.display()))?;
    let Ok(mut settings) = termios::tcgetattr(&terminal) else {
        return Ok(());
    };
    termios::cfmakeraw(&mut settings);
    termios::tcsetattr(&terminal, SetArg::TCSANOW, &settings)
        .with_context(|| format!("cannot make {} raw", port.display()))
}

fn run_job() -> Result<i32> {
    let job = fs::read_to_string("/etc/job").context("cannot read /etc/job")?;
    let mut words = job.lines().filter(|word| !word.is_empty());
    let Some(program) = words.next() else {
        bail!("/etc/job is empty")
    };
    let child = Command::new(program)
        .args(words)
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let job = Pid::from_raw(child.id().cast_signed());
    // The first process inherits every orphan: reap them all until the job itself ends.
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == job => return Ok(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == job => {
                return Ok(128 + signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the job"),
        }
    }
}

/// The number a shell would show for `status`.
#[must_use]
pub fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(NOT_STARTED)
}
