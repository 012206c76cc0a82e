//! Network namespaces that disappear with their owner.
//!
//! A [`Netns`] is named (bound to `/run/netns/NAME`, like `ip netns add` does) or unnamed (held
//! by a process and nothing else). Code and commands run inside one by entering it on the
//! current thread; no mount is touched, so `/sys/fs/bpf` stays what it was.

use std::{
    fs::{self, File},
    io,
    marker::PhantomData,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd, RawFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    ifaddrs::getifaddrs,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::{
        signal::{Signal, kill},
        stat::fstat,
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pipe2, read},
};

use crate::{command, family::Family};

/// Where `ip netns` keeps its names.
pub(crate) const NAMES: &str = "/run/netns";
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace made by the lab and removed when dropped.
#[derive(Debug)]
pub struct Netns {
    label: String,
    fd: OwnedFd,
    holder: Holder,
}

#[derive(Debug)]
enum Holder {
    Name(PathBuf),
    Process { pid: Pid, _lifeline: OwnedFd },
}

impl Netns {
    /// Makes a netns called `name`; people are shown `label`.
    pub fn named(name: &str, label: &str) -> Result<Self> {
        let path = Path::new(NAMES).join(name);
        let fd = thread::scope(|scope| scope.spawn(|| name_new_netns(&path)).join())
            .map_err(|_| anyhow!("the thread that makes netns {label} panicked"))?
            .with_context(|| format!("cannot make netns {name}"))?;
        Ok(Self {
            label: label.to_owned(),
            fd,
            holder: Holder::Name(path),
        })
    }

    /// Makes a netns without a name: a child process that only waits is all that holds it.
    pub fn unnamed(label: &str) -> Result<Self> {
        hold_new_netns(label, None)
            .with_context(|| format!("cannot make the unnamed netns {label}"))
    }

    /// Makes a netns as a user without privileges does: in a new user namespace, held by a process of that
    /// user.
    pub fn of_user(label: &str) -> Result<Self> {
        hold_new_netns(label, Some(NOBODY))
            .with_context(|| format!("cannot make netns {label} of a user"))
    }

    /// The name people are shown.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What `ip link … netns` takes: the name, or the pid of the process that holds it.
    #[must_use]
    pub fn reference(&self) -> String {
        match &self.holder {
            Holder::Name(path) => path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            Holder::Process { pid, .. } => pid.to_string(),
        }
    }

    /// Gives it one more name, as `ip netns attach` does, until the guard is dropped.
    pub fn attach_name(&self, name: &str) -> Result<AttachedName> {
        share_names()?;
        let path = Path::new(NAMES).join(name);
        File::create_new(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let attached = AttachedName(path);
        self.run(|| bind_own_netns(&attached.0))?;
        Ok(attached)
    }

    /// The number that tells it from every other one (`/proc/PID/ns/net`).
    pub fn inode(&self) -> Result<u64> {
        let found =
            fstat(&self.fd).with_context(|| format!("cannot look at netns {}", self.label))?;
        Ok(found.st_ino)
    }

    /// Moves the current thread, and what it starts from now on, into this netns until the
    /// guard is dropped.
    pub fn enter(&self) -> Result<Entered> {
        let previous = File::open(OWN).context("cannot open own netns")?;
        setns(&self.fd, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter netns {}", self.label))?;
        Ok(Entered {
            previous: previous.into(),
            not_send: PhantomData,
        })
    }

    /// Runs `inside` in this netns.
    pub fn run<T>(&self, inside: impl FnOnce() -> Result<T>) -> Result<T> {
        let _entered = self.enter()?;
        inside()
    }

    /// Runs the lines of `batch` through `ip -batch` in this netns.
    pub fn ip(&self, batch: &str) -> Result<()> {
        self.command(Command::new("ip").args(["-batch", "-"]), batch)
            .map(drop)
    }

    /// Makes the ipvlan device `name` of `parent`, a device of `host`, right in this netns. `mode` is the mode, and the
    /// isolation flag if there is one.
    pub fn add_ipvlan(&self, host: &Self, parent: &str, name: &str, mode: &str) -> Result<()> {
        let netns = self.reference();
        host.ip(&format!(
            "link add link {parent} name {name} netns {netns} type ipvlan mode {mode}\n"
        ))
    }

    /// Returns what `ip` shows of the neighbour entry of `address` on `device`, in whatever state it is.
    pub fn neighbour_entry(&self, device: &str, address: IpAddr) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(["neigh", "show", "to", &address.to_string(), "dev", device]);
        // Without it, `ip` leaves out entries of the state noarp.
        command.args(["nud", "all"]);
        self.command(&mut command, "")
    }

    /// Runs one command in this netns and gives back what it printed.
    pub fn command(&self, command: &mut Command, input: &str) -> Result<String> {
        self.command_to(command, input, &[0])
    }

    /// The same for a command of which these exit codes are no failure.
    pub fn command_to(&self, command: &mut Command, input: &str, codes: &[i32]) -> Result<String> {
        self.run(|| command::run_to(command, input, codes))
            .with_context(|| format!("in netns {}", self.label))
    }

    /// Writes `value` to the sysctl `key`, a path below `/proc/sys/net`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(key);
        self.run(|| fs::write(&path, value).with_context(|| format!("cannot set {key}={value}")))
            .with_context(|| format!("in netns {}", self.label))
    }

    /// Writes sysctls of the neighbours of `device`, of both families.
    pub fn neighbour_sysctls(&self, device: &str, settings: &[(&str, &str)]) -> Result<()> {
        for family in Family::ALL {
            for (key, value) in settings {
                self.sysctl(&format!("{}/neigh/{device}/{key}", family.sysctl()), value)?;
            }
        }
        Ok(())
    }

    /// Devices that come from now on say nothing unasked and have no addresses of their own making.
    pub fn quiet(&self) -> Result<()> {
        for (key, value) in [
            ("addr_gen_mode", "1"),
            ("router_solicitations", "0"),
            ("accept_ra", "0"),
        ] {
            self.sysctl(&format!("ipv6/conf/default/{key}"), value)?;
        }
        Ok(())
    }

    /// The hardware address of `device`.
    pub fn hardware_address(&self, device: &str) -> Result<[u8; 6]> {
        self.run(|| getifaddrs().context("cannot list addresses"))?
            .filter(|interface| interface.interface_name == device)
            .find_map(|interface| interface.address?.as_link_addr()?.addr())
            .with_context(|| format!("{device} has no Ethernet address"))
    }
}

/// `mac` as the kernel and its tools write it.
#[must_use]
pub fn colons(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Drop for Netns {
    fn drop(&mut self) {
        let removed = match &self.holder {
            Holder::Name(path) => remove_name(path).map_err(|error| error.to_string()),
            Holder::Process { pid, .. } => kill(*pid, Signal::SIGKILL)
                .and_then(|()| waitpid(*pid, None))
                .map(drop)
                .map_err(|error| error.to_string()),
        };
        if let Err(error) = removed {
            eprintln!(
                "netns {} ({}) is left behind: {error}",
                self.label,
                self.reference()
            );
        }
    }
}

/// A second name of a netns, removed when dropped.
#[derive(Debug)]
pub struct AttachedName(PathBuf);

impl Drop for AttachedName {
    fn drop(&mut self) {
        if let Err(error) = remove_name(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// Proof that the current thread is inside a netns; back to the previous one when dropped.
#[derive(Debug)]
pub struct Entered {
    previous: OwnedFd,
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Self {
            previous,
            not_send: PhantomData,
        } = self;
        if let Err(error) = setns(previous.as_fd(), CloneFlags::CLONE_NEWNET) {
            eprintln!("cannot leave a netns: {error}");
            // Going on would configure the wrong netns.
            std::process::abort();
        }
    }
}

/// Removes a name below [`NAMES`].
pub(crate) fn remove_name(path: &Path) -> io::Result<()> {
    // Not mounted happens when making it failed half way.
    let _not_mounted = umount2(path, MntFlags::MNT_DETACH);
    fs::remove_file(path)
}

/// Returns the owner of a descriptor that the kernel has just made for this process.
pub(crate) fn descriptor(number: libc::c_long) -> Result<OwnedFd> {
    let number = RawFd::try_from(number)?;
    // SAFETY: it is new, so that it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn name_new_netns(path: &Path) -> Result<OwnedFd> {
    share_names()?;
    File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    if let Err(error) = bind_own_netns(path) {
        fs::remove_file(path)?;
        return Err(error);
    }
    Ok(File::open(OWN)?.into())
}

/// Binds the netns of this thread to a file.
fn bind_own_netns(path: &Path) -> Result<()> {
    let none = None::<&str>;
    mount(Some(OWN), path, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("cannot bind {}", path.display()))
}

/// Makes [`NAMES`] a shared mount, like `ip netns` does: a name removed here is then gone
/// everywhere.
fn share_names() -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    fs::create_dir_all(NAMES)?;
    let share = || {
        let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
        mount(None::<&str>, NAMES, None::<&str>, flags, None::<&str>)
    };
    if share() == Err(Errno::EINVAL) {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(NAMES), NAMES, None::<&str>, flags, None::<&str>)?;
        share()?;
    }
    Ok(())
}

/// The user that has no privileges.
pub(crate) const NOBODY: libc::uid_t = 65_534;

/// Makes a netns in a process that holds it: of this user, in a user namespace of its own, if one is given. A process
/// with threads cannot make a user namespace, so both are made after the fork.
fn hold_new_netns(label: &str, user: Option<libc::uid_t>) -> Result<Netns> {
    let (end, lifeline) = pipe2(OFlag::O_CLOEXEC)?;
    let (ready, made) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: between fork and _exit the child only makes plain system calls; it touches no lock and no
    // allocator.
    let pid = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        // SAFETY: this is the child, right after the fork; the descriptors are its own copies.
        ForkResult::Child => unsafe {
            let is_made = match user {
                None => libc::unshare(libc::CLONE_NEWNET) == 0,
                Some(user) => {
                    libc::setresgid(user, user, user) == 0
                        && libc::setresuid(user, user, user) == 0
                        && libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) == 0
                }
            };
            if !is_made {
                libc::_exit(1);
            }
            libc::write(made.as_raw_fd(), [1u8].as_ptr().cast(), 1);
            wait_for_end(end.as_raw_fd())
        },
    };
    drop(made);
    if read(&ready, &mut [0])? != 1 {
        let _reaped = waitpid(pid, None);
        bail!("the kernel refuses it");
    }
    let path = format!("/proc/{pid}/ns/net");
    let fd = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    Ok(Netns {
        label: label.to_owned(),
        fd: fd.into(),
        holder: Holder::Process {
            pid,
            _lifeline: lifeline,
        },
    })
}

/// What the child that holds a netns does: nothing, until the other end of the pipe is closed.
///
/// Every other descriptor is closed: a copy of a pipe some other thread is about to close would
/// keep its reader waiting.
///
/// # Safety
///
/// Only to be called in a process that was just forked and owns nothing.
unsafe fn wait_for_end(end: RawFd) -> ! {
    let mut byte = 0u8;
    // SAFETY: plain system calls; `byte` is one byte, and nobody uses the closed descriptors.
    unsafe {
        libc::dup2(end, 0);
        libc::close_range(1, libc::c_uint::MAX, 0);
        // Comes back when the lab is gone; while it lives nothing is ever written.
        libc::read(0, (&raw mut byte).cast(), 1);
        libc::_exit(0)
    }
}
