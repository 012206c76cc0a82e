//! Servers and clients of others, each in a netns; killed when dropped.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::rows::prelude::*;

/// A running program.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Starts `command` in `netns`; its output goes to the file `output` of `directory`.
    pub(super) fn start(
        netns: &Netns,
        command: &mut Command,
        directory: &Directory,
        output: &str,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::create(directory.file(output)).context("cannot make a file")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let start = || {
            command
                .spawn()
                .with_context(|| format!("cannot start {name}"))
        };
        Ok(Self(netns.run(start)?))
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

/// A directory for the files of a program; removed when dropped.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes one that no other program has.
    pub(super) fn new(label: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipvlan-dhcp-{}-{number}.{label}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns the path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file; returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Writes a program; returns its path.
    pub(super) fn write_program(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.write(name, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Returns the text of a file; none if there is no such file.
    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Returns the last lines of a file, as one.
    pub(super) fn last_lines(&self, name: &str) -> String {
        let text = self.read(name);
        let lines: Vec<_> = text.lines().rev().take(25).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// The file of the output of a program.
pub(super) const OUTPUT: &str = "output";
/// The file of the leases of a server.
const LEASES: &str = "leases";

/// How long a lease of [`Server::dhcpd`] is; clients renew after a quarter of it and rebind after half of it.
pub(super) const LEASE: Duration = Duration::from_secs(24);

/// The DHCP server of a LAN.
#[derive(Debug)]
pub(super) struct Server {
    _running: Running,
    directory: Directory,
}

impl Server {
    /// Starts dnsmasq on `device` of `netns`, for both families.
    pub(super) fn dnsmasq(netns: &Netns, device: &str) -> Result<Self> {
        let directory = Directory::new("dnsmasq")?;
        let leases = directory.file(LEASES);
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
        Self::start(netns, &mut command, directory)
    }

    /// Starts ISC `dhcpd` on `device` of `netns`.
    pub(super) fn dhcpd(netns: &Netns, device: &str) -> Result<Self> {
        let directory = Directory::new("dhcpd")?;
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
        let mut command = Command::new("dhcpd");
        command.args(["-4", "-f", "-d", "--no-pid"]);
        command.arg("-cf").arg(directory.write("conf", &conf)?);
        command.arg("-lf").arg(directory.write(LEASES, "")?);
        Self::start(netns, command.arg(device), directory)
    }

    fn start(netns: &Netns, command: &mut Command, directory: Directory) -> Result<Self> {
        Ok(Self {
            _running: Running::start(netns, command, &directory, OUTPUT)?,
            directory,
        })
    }

    /// Returns whether dnsmasq keeps a lease of `address`.
    pub(super) fn has_lease(&self, address: Ipv4Addr) -> bool {
        let leases = self.directory.read(LEASES);
        let address = address.to_string();
        let mut addresses = leases.lines().map(|line| line.split(' ').nth(2));
        addresses.any(|leased| leased == Some(address.as_str()))
    }

    /// Returns the last lines of its log.
    pub(super) fn log(&self) -> String {
        self.directory.last_lines(OUTPUT)
    }
}

/// `udhcpc` on a device; its script only notes what happened.
#[derive(Debug)]
pub(super) struct Client {
    running: Running,
    directory: Directory,
}

impl Client {
    /// Starts it on `device` of `netns` with more options: 3 requests, one a second.
    pub(super) fn start(netns: &Netns, device: &str, options: &[&str]) -> Result<Self> {
        let directory = Directory::new("udhcpc")?;
        let events = directory.file("events");
        let script = format!(
            "#!/usr/bin/busybox sh\necho \"$1 $ip\" >> {}\n",
            events.display()
        );
        let mut command = Command::new("busybox");
        command.args(["udhcpc", "-f", "-t", "3", "-T", "1", "-A", "1"]);
        command.args(["-i", device]).args(options);
        command
            .arg("-s")
            .arg(directory.write_program("sh", &script)?);
        Ok(Self {
            running: Running::start(netns, &mut command, &directory, OUTPUT)?,
            directory,
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
            let events = self.directory.read("events");
            let mut events = events.lines().filter_map(|line| line.split_once(' '));
            let found = events.find(|(name, _)| *name == event);
            let address = found.and_then(|(_, address)| address.parse().ok());
            if address.is_some() || Instant::now() >= deadline {
                return address;
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

    /// Returns the last lines of its log.
    pub(super) fn log(&self) -> String {
        self.directory.last_lines(OUTPUT)
    }
}
