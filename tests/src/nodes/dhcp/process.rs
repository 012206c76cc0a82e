//! Programs of others, each in a netns; killed when dropped.

use std::{
    fs::File,
    os::unix::fs::PermissionsExt as _,
    process::{self, Child, Stdio},
    sync::atomic::AtomicU32,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::rows::prelude::*;

/// Running programs that share a directory of files, which is removed when they are dropped.
#[derive(Debug)]
pub(super) struct Process {
    running: Vec<Child>,
    directory: PathBuf,
}

impl Process {
    /// Makes the directory; no program runs yet.
    pub(super) fn new(label: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipvlan-dhcp-{}-{number}.{label}", process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            running: Vec::new(),
            directory,
        })
    }

    /// Starts `command` in `netns`.
    pub(super) fn run(&mut self, netns: &Netns, command: &mut Command) -> Result<()> {
        let output = self.file(&format!("output{}", self.running.len()));
        let output = File::create(output).context("cannot make a file")?;
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let started = netns.run(|| Ok(command.spawn()?));
        let started = started.with_context(|| format!("cannot start {name}"))?;
        self.running.push(started);
        Ok(())
    }

    /// Signals the program that was started first.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let first = self.running.first().context("nothing runs")?;
        kill(Pid::from_raw(first.id().cast_signed()), signal).context("it has ended")
    }

    /// Returns the path of a file in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
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

    /// Returns the last lines of the output of each program, as one.
    pub(super) fn log(&self) -> String {
        let outputs = (0..self.running.len()).map(|number| self.read(&format!("output{number}")));
        let last = outputs.map(|text| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(25)..].join(" | ")
        });
        last.collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for running in &mut self.running {
            let _ended = running.kill();
            let _reaped = running.wait();
        }
        let _gone = fs::remove_dir_all(&self.directory);
    }
}

/// The file of the leases of a server or client.
pub(super) const LEASES: &str = "leases";
/// How long a lease of [`Server::dhcpd`] is; clients renew after a quarter of it and rebind after half of it.
pub(super) const LEASE: Duration = Duration::from_secs(24);

/// The DHCP server of a LAN.
#[derive(Debug)]
pub(super) struct Server(Process);

impl Server {
    /// Starts dnsmasq on the LAN's station, for both families.
    pub(super) fn dnsmasq(station: &Netns) -> Result<Self> {
        let mut process = Process::new("dnsmasq")?;
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
        command.arg(format!("--interface={LAN}"));
        let leases = process.file(LEASES);
        command.arg(format!("--dhcp-leasefile={}", leases.display()));
        process.run(station, &mut command)?;
        Ok(Self(process))
    }

    /// Starts ISC `dhcpd` on the LAN's station.
    pub(super) fn dhcpd(station: &Netns) -> Result<Self> {
        let mut process = Process::new("dhcpd")?;
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
        command.arg("-cf").arg(process.write("conf", &conf)?);
        command.arg("-lf").arg(process.write(LEASES, "")?);
        process.run(station, command.arg(LAN))?;
        Ok(Self(process))
    }

    /// Returns whether dnsmasq keeps a lease of `address`.
    pub(super) fn has_lease(&self, address: Ipv4Addr) -> bool {
        let leases = self.0.read(LEASES);
        let address = address.to_string();
        let mut addresses = leases.lines().map(|line| line.split(' ').nth(2));
        addresses.any(|leased| leased == Some(address.as_str()))
    }

    /// Returns the last lines of its log.
    pub(super) fn log(&self) -> String {
        self.0.log()
    }
}

/// `udhcpc` on a device; its script only notes what happened.
#[derive(Debug)]
pub(super) struct Udhcpc(Process);

impl Udhcpc {
    /// Starts it on `device` of `netns` with more options: 3 requests, one a second.
    pub(super) fn start(netns: &Netns, device: &str, options: &[&str]) -> Result<Self> {
        let mut process = Process::new("udhcpc")?;
        let events = process.file("events");
        let script = format!(
            "#!/usr/bin/busybox sh\necho \"$1 $ip\" >> {}\n",
            events.display()
        );
        let mut command = Command::new("busybox");
        command.args(["udhcpc", "-f", "-t", "3", "-T", "1", "-A", "1"]);
        command.args(["-i", device]).args(options);
        command.arg("-s").arg(process.write_program("sh", &script)?);
        process.run(netns, &mut command)?;
        Ok(Self(process))
    }

    /// Starts it on a child with a client identifier of its own.
    pub(super) fn of_child(netns: &Netns, number: u8) -> Result<Self> {
        let id = format!("0x3d:ff0000{number:02x}");
        Self::start(netns, CHILD, &["-C", "-x", &id])
    }

    /// Waits for `event` and returns the address that came with it; none if it does not come.
    pub(super) fn wait_for(&self, event: &str, patience: Duration) -> Result<Option<Ipv4Addr>> {
        let address = || {
            let events = self.0.read("events");
            let mut events = events.lines().filter_map(|line| line.split_once(' '));
            let found = events.find(|(name, _)| *name == event);
            found.and_then(|(_, address)| address.parse().ok())
        };
        let poll = Duration::from_millis(20);
        until(patience, poll, || Ok(address().is_some()))?;
        Ok(address())
    }

    /// Makes it renew its lease now.
    pub(super) fn renew(&self) -> Result<()> {
        self.0.signal(Signal::SIGUSR1)
    }

    /// Makes it release its lease.
    pub(super) fn release(&self) -> Result<()> {
        self.0.signal(Signal::SIGUSR2)
    }

    /// Returns the last lines of its log.
    pub(super) fn log(&self) -> String {
        self.0.log()
    }
}
