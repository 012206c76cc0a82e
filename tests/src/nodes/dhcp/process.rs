//! Servers and clients of others, each in a netns; killed when dropped.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    faults::site::{CHILD, VM01},
    netns::Netns,
};

/// A running program.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Starts `command` in `netns`; what it says goes to the file `said`.
    pub(super) fn start(netns: &Netns, command: &mut Command, said: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let said = File::create(said).context("cannot make a file for what it says")?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let child = netns.run(|| {
            command
                .spawn()
                .with_context(|| format!("cannot start {name}"))
        })?;
        Ok(Self(child))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).context("it has ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A path in a directory that goes with the machine.
pub(super) fn path(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("ipvlan-dhcp-{}-{number}.{what}", process::id()))
}

/// dnsmasq as the DHCP server of a LAN, for both families.
#[derive(Debug)]
pub(super) struct Server {
    _running: Running,
    leases: PathBuf,
    said: PathBuf,
}

impl Server {
    /// Starts it on `device` of `netns`.
    pub(super) fn start(netns: &Netns, device: &str) -> Result<Self> {
        let (leases, said) = (path("leases"), path("server"));
        let mut command = Command::new("dnsmasq");
        command.args([
            "--conf-file=/dev/null",
            "--no-daemon",
            "--user=",
            "--group=",
            "--port=0",
            "--no-ping",
            "--dhcp-authoritative",
            "--log-dhcp",
            "--bind-interfaces",
            "--dhcp-range=172.16.91.150,172.16.91.159,255.255.255.0,2m",
            "--dhcp-range=2001:db8:91::1000,2001:db8:91::10ff,64,2m",
        ]);
        command.arg(format!("--interface={device}"));
        command.arg(format!("--dhcp-leasefile={}", leases.display()));
        Ok(Self {
            _running: Running::start(netns, &mut command, &said)?,
            leases,
            said,
        })
    }

    /// Whether it keeps a lease of `address`.
    pub(super) fn has_lease(&self, address: Ipv4Addr) -> bool {
        let leases = fs::read_to_string(&self.leases).unwrap_or_default();
        let address = address.to_string();
        leases
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(address.as_str()))
    }

    /// The last lines that it said.
    pub(super) fn said(&self) -> String {
        last_lines(&self.said, 12)
    }
}

/// The last lines of a file, as one.
fn last_lines(file: &Path, count: usize) -> String {
    let said = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = said.lines().rev().take(count).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

impl Drop for Server {
    fn drop(&mut self) {
        for file in [&self.leases, &self.said] {
            let _gone = fs::remove_file(file);
        }
    }
}

/// How long a lease of [`Dhcpd`] is; clients renew after a quarter of it and rebind after half of it.
pub(super) const LEASE: Duration = Duration::from_secs(24);

/// ISC `dhcpd` as the DHCP server of a LAN.
#[derive(Debug)]
pub(super) struct Dhcpd {
    _running: Running,
    directory: PathBuf,
}

impl Dhcpd {
    /// Starts it on `device` of `netns`.
    pub(super) fn start(netns: &Netns, device: &str) -> Result<Self> {
        let directory = path("dhcpd");
        fs::create_dir(&directory).context("cannot make the directory of dhcpd")?;
        let lease = LEASE.as_secs();
        let conf = format!(
            "authoritative;\nddns-update-style none;\nping-check false;\ndhcp-cache-threshold 0;\n\
             server-identifier {};\n\
             min-lease-time {lease};\ndefault-lease-time {lease};\nmax-lease-time {lease};\n\
             option dhcp-renewal-time {};\noption dhcp-rebinding-time {};\n\
             subnet 172.16.91.0 netmask 255.255.255.0 {{ range 172.16.91.150 172.16.91.159; }}\n",
            VM01.v4,
            lease / 4,
            lease / 2,
        );
        fs::write(directory.join("conf"), conf)?;
        fs::write(directory.join("leases"), "")?;
        let mut command = Command::new("dhcpd");
        command.args(["-4", "-f", "-d", "--no-pid"]);
        for (option, file) in [("-cf", "conf"), ("-lf", "leases")] {
            command.arg(option).arg(directory.join(file));
        }
        command.arg(device);
        Ok(Self {
            _running: Running::start(netns, &mut command, &directory.join("said"))?,
            directory,
        })
    }

    /// The last lines that it said.
    pub(super) fn said(&self) -> String {
        last_lines(&self.directory.join("said"), 30)
    }
}

impl Drop for Dhcpd {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.directory);
    }
}

/// `udhcpc` on a device; its script only notes what happened.
#[derive(Debug)]
pub(super) struct Client {
    running: Running,
    script: PathBuf,
    events: PathBuf,
    said: PathBuf,
}

impl Client {
    /// Starts it on `device` of `netns` with more options: 3 requests, one a second.
    pub(super) fn start(netns: &Netns, device: &str, options: &[&str]) -> Result<Self> {
        let (script, events, said) = (path("sh"), path("events"), path("client"));
        fs::write(
            &script,
            format!(
                "#!/usr/bin/busybox sh\necho \"$1 $ip\" >> {}\n",
                events.display()
            ),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new("busybox");
        command.args([
            "udhcpc", "-f", "-t", "3", "-T", "1", "-A", "1", "-i", device,
        ]);
        command.arg("-s").arg(&script).args(options);
        Ok(Self {
            running: Running::start(netns, &mut command, &said)?,
            script,
            events,
            said,
        })
    }

    /// Starts it on a child with a client identifier of its own.
    pub(super) fn of_child(netns: &Netns, number: u8) -> Result<Self> {
        let id = format!("0x3d:ff0000{number:02x}");
        Self::start(netns, CHILD, &["-C", "-x", &id])
    }

    /// Waits for `event` and returns the address that came with it; none if it does not come.
    pub(super) fn wait_for(&self, event: &str, patience: Duration) -> Option<Ipv4Addr> {
        let deadline = Instant::now() + patience;
        loop {
            let events = fs::read_to_string(&self.events).unwrap_or_default();
            let found = events
                .lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(name, _)| *name == event)
                .and_then(|(_, address)| address.parse().ok());
            if found.is_some() || Instant::now() >= deadline {
                return found;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes it renew its lease now.
    pub(super) fn renew(&self) -> Result<()> {
        self.running.signal(Signal::SIGUSR1)
    }

    /// Makes it release its lease.
    pub(super) fn release(&self) -> Result<()> {
        self.running.signal(Signal::SIGUSR2)
    }

    /// All that it said.
    pub(super) fn said(&self) -> String {
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        said.lines().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for file in [&self.script, &self.events, &self.said] {
            let _gone = fs::remove_file(file);
        }
    }
}
