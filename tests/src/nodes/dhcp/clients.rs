//! DHCP clients of real nodes in l2 children. Each has an identifier that contains its name; killed when dropped.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::process::{Running, path};
use crate::{
    faults::site::{CHILD, PARENT},
    netns::{NAMES, Netns},
};

/// The directory of the CNI plugins (Debian package containernetworking-plugins).
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// Starts a shell in a mount namespace of its own: several clients keep their state in the same place.
const OWN_MOUNTS: [&str; 4] = ["unshare", "--mount", "busybox", "sh"];
/// `dhclient` leaves addresses to its script.
const DHCLIENT_SCRIPT: &str = r#"#!/usr/bin/busybox sh
case "$reason" in
BOUND | RENEW | REBIND | REBOOT)
    exec ip addr replace "$new_ip_address/24" dev "$interface" \
        valid_lft "$new_dhcp_lease_time" preferred_lft "$new_dhcp_lease_time"
    ;;
EXPIRE | FAIL | STOP) exec ip addr flush dev "$interface" ;;
esac
"#;
const NETWORKD: &str = r#"set -e
busybox mkdir -p /run/systemd /etc/systemd
busybox mount -t tmpfs none /run/systemd
busybox mount -t tmpfs none /etc/systemd
# Read-only: it does not wait for udev then.
busybox mount -t sysfs -o ro none /sys
busybox mkdir -p /etc/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
busybox cp "$1/child.network" "$1/networkd.conf" /etc/systemd
busybox mv /etc/systemd/child.network /etc/systemd/network
busybox chown -R 65534:65534 /run/systemd/netif
caps=+net_admin,+net_raw,+net_bind_service,+net_broadcast
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=$caps --ambient-caps=$caps \
    /usr/lib/systemd/systemd-networkd
"#;
const DHCPCD: &str = r#"set -e
busybox mkdir -p /run/dhcpcd /var/lib/dhcpcd
busybox mount -t tmpfs none /run/dhcpcd
busybox mount -t tmpfs none /var/lib/dhcpcd
exec dhcpcd -4 -B -d -c /dev/null -f "$1/dhcpcd.conf" "$2"
"#;

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// ISC `dhclient`
    Dhclient,
    /// `dhcpcd`
    Dhcpcd,
    /// `systemd-networkd`
    Networkd,
    /// The CNI plugin `ipvlan` with `dhcp` as its IPAM, which makes the child itself.
    Cni,
}

impl Program {
    pub(super) const ALL: [Self; 4] = [Self::Dhclient, Self::Dhcpcd, Self::Networkd, Self::Cni];

    /// Its name, which its identifier contains.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dhclient => "dhclient",
            Self::Dhcpcd => "dhcpcd",
            Self::Networkd => "networkd",
            Self::Cni => "cni",
        }
    }

    /// Whether it renews by unicast, as RFC 2131 §4.4.5 has it; the CNI plugin broadcasts every request.
    pub(super) const fn renews_by_unicast(self) -> bool {
        !matches!(self, Self::Cni)
    }

    /// Whether its child has to be there before it.
    pub(super) const fn takes_child(self) -> bool {
        !matches!(self, Self::Cni)
    }
}

/// A running client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) program: Program,
    _running: Vec<Running>,
    directory: PathBuf,
}

impl Client {
    /// Starts it on the child in `netns`; the CNI plugin makes the child, on the parent in `host`.
    pub(super) fn start(program: Program, host: &Netns, netns: &Netns) -> Result<Self> {
        Self::start_with(program, host, netns, true)
    }

    /// Starts `dhclient` as it comes: without an identifier.
    pub(super) fn start_unidentified(host: &Netns, netns: &Netns) -> Result<Self> {
        Self::start_with(Program::Dhclient, host, netns, false)
    }

    fn start_with(
        program: Program,
        host: &Netns,
        netns: &Netns,
        is_identified: bool,
    ) -> Result<Self> {
        let directory = path(program.name());
        fs::create_dir(&directory).context("cannot make the directory of a client")?;
        let said = directory.join("said");
        let running = match program {
            Program::Dhclient => {
                let mut command = dhclient(&directory, is_identified)?;
                vec![Running::start(netns, &mut command, &said)?]
            }
            Program::Dhcpcd => {
                let conf = "clientid dhcpcd\nnoipv4ll\ntimeout 0\nreboot 0\n";
                fs::write(directory.join("dhcpcd.conf"), conf)?;
                let mut command = in_own_mounts(&directory, DHCPCD)?;
                vec![Running::start(netns, command.arg(CHILD), &said)?]
            }
            Program::Networkd => {
                fs::write(directory.join("child.network"), network())?;
                let conf = "[Network]\nManageForeignRoutes=no\n";
                fs::write(directory.join("networkd.conf"), conf)?;
                let mut command = in_own_mounts(&directory, NETWORKD)?;
                command.env("SYSTEMD_LOG_LEVEL", "debug");
                vec![Running::start(netns, &mut command, &said)?]
            }
            Program::Cni => cni(&directory, host, netns)?,
        };
        Ok(Self {
            program,
            _running: running,
            directory,
        })
    }

    /// The last lines that it said.
    pub(super) fn said(&self) -> String {
        let said = |name| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        let all = [said("said"), said("plugin")].concat();
        let lines: Vec<_> = all.lines().rev().take(25).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.directory);
    }
}

fn in_own_mounts(directory: &Path, script: &str) -> Result<Command> {
    let file = directory.join("start.sh");
    fs::write(&file, script)?;
    let mut command = Command::new("busybox");
    command.args(OWN_MOUNTS).arg(file).arg(directory);
    Ok(command)
}

fn dhclient(directory: &Path, is_identified: bool) -> Result<Command> {
    let script = directory.join("script");
    fs::write(&script, DHCLIENT_SCRIPT)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let identifier = if is_identified {
        "send dhcp-client-identifier \"dhclient\";\n"
    } else {
        ""
    };
    let times = "initial-interval 1;\nbackoff-cutoff 2;\ntimeout 300;\n";
    fs::write(directory.join("leases"), "")?;
    let conf = directory.join("dhclient.conf");
    fs::write(&conf, [identifier, times].concat())?;
    let mut command = Command::new("dhclient");
    command.args(["-4", "-d"]).arg("-cf").arg(conf);
    for (option, file) in [("-lf", "leases"), ("-pf", "pid"), ("-sf", "script")] {
        command.arg(option).arg(directory.join(file));
    }
    command.arg(CHILD);
    Ok(command)
}

/// An identifier of RFC 4361: its default with the DUID of a machine, which containers of one image can share.
fn network() -> String {
    // An enterprise number and eight bytes.
    let duid: Vec<_> = b"\0\0\xab\x11networkd"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        "[Match]\nName={CHILD}\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
         [DHCPv4]\nSendHostname=no\nClientIdentifier=duid\nDUIDType=vendor\nDUIDRawData={}\nIAID=1\n",
        duid.join(":")
    )
}

/// Starts the daemon of the `dhcp` plugin, then the `ipvlan` plugin as a container runtime does.
fn cni(directory: &Path, host: &Netns, netns: &Netns) -> Result<Vec<Running>> {
    // What an attempt before this one left.
    let _none = netns.ip(&format!("link del {CHILD}\n"));
    let socket = directory.join("socket");
    let mut command = Command::new(format!("{CNI_PLUGINS}/dhcp"));
    command.arg("daemon").arg("-socketpath").arg(&socket);
    let daemon = Running::start(host, &mut command, &directory.join("said"))?;
    crate::faults::stage::wait_for("the socket of the dhcp plugin", || Ok(socket.exists()))?;
    let conf = directory.join("conf");
    let text = serde_json::json!({
        "cniVersion": "0.4.0", "name": "lan", "type": "ipvlan", "master": PARENT, "mode": "l2",
        "ipam": { "type": "dhcp", "daemonSocketPath": socket },
    });
    fs::write(&conf, text.to_string())?;
    let mut command = Command::new("busybox");
    let plugin = format!("exec {CNI_PLUGINS}/ipvlan < {}", conf.display());
    command.args(["sh", "-c", &plugin]).envs([
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "cni"),
        ("CNI_NETNS", &format!("{NAMES}/{}", netns.reference())),
        ("CNI_IFNAME", CHILD),
        ("CNI_PATH", CNI_PLUGINS),
    ]);
    let plugin = Running::start(host, &mut command, &directory.join("plugin"))?;
    Ok(vec![plugin, daemon])
}

/// The IPv4 address of the child in `netns`.
pub(super) fn address(netns: &Netns) -> Result<Option<Ipv4Addr>> {
    let mut command = Command::new("ip");
    command.args(["-json", "-4", "addr", "show"]);
    let links: serde_json::Value = serde_json::from_str(&netns.command(&mut command, "")?)?;
    let links = links.as_array().map(Vec::as_slice).unwrap_or_default();
    let child = links.iter().find(|link| link["ifname"] == CHILD);
    let local = child.and_then(|child| child["addr_info"][0]["local"].as_str());
    Ok(local.and_then(|local| local.parse().ok()))
}

/// Waits until the child in `netns` has an IPv4 address.
pub(super) fn wait_for_address(netns: &Netns, patience: Duration) -> Result<Option<Ipv4Addr>> {
    let deadline = Instant::now() + patience;
    loop {
        let found = address(netns)?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(50));
    }
}
