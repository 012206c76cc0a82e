//! DHCP clients of real nodes in l2 children. Each has an identifier that contains its name; killed when dropped.

use std::{cell::Cell, net::Ipv4Addr, process::Command};

use serde_json::Value;

use super::process::{Directory, OUTPUT, Running};
use crate::{netns::NAMES, probe::until, rows::prelude::*};

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
    directory: Directory,
}

impl Client {
    /// Starts it on the child in `netns`; the CNI plugin makes the child, on the parent in `host`.
    pub(super) fn start(program: Program, host: &Netns, netns: &Netns) -> Result<Self> {
        let directory = Directory::new(program.name())?;
        let mut command = match program {
            Program::Dhclient => {
                dhclient(&directory, "send dhcp-client-identifier \"dhclient\";\n")?
            }
            Program::Dhcpcd => {
                let conf = "clientid dhcpcd\nnoipv4ll\ntimeout 0\nreboot 0\n";
                directory.write("dhcpcd.conf", conf)?;
                let mut command = in_own_mounts(&directory, DHCPCD)?;
                command.arg(CHILD);
                command
            }
            Program::Networkd => {
                directory.write("child.network", &network())?;
                let conf = "[Network]\nManageForeignRoutes=no\n";
                directory.write("networkd.conf", conf)?;
                let mut command = in_own_mounts(&directory, NETWORKD)?;
                command.env("SYSTEMD_LOG_LEVEL", "debug");
                command
            }
            Program::Cni => {
                return Ok(Self {
                    program,
                    _running: cni(&directory, host, netns)?,
                    directory,
                });
            }
        };
        Self::run(program, &mut command, netns, directory)
    }

    /// Starts `dhclient` as it comes: without an identifier.
    pub(super) fn start_unidentified(netns: &Netns) -> Result<Self> {
        let directory = Directory::new("dhclient")?;
        let mut command = dhclient(&directory, "")?;
        Self::run(Program::Dhclient, &mut command, netns, directory)
    }

    fn run(
        program: Program,
        command: &mut Command,
        netns: &Netns,
        directory: Directory,
    ) -> Result<Self> {
        Ok(Self {
            program,
            _running: vec![Running::start(netns, command, &directory, OUTPUT)?],
            directory,
        })
    }

    /// Returns the last lines of its log.
    pub(super) fn log(&self) -> String {
        let Self { directory, .. } = self;
        [OUTPUT, PLUGIN]
            .map(|file| directory.last_lines(file))
            .join(" | ")
    }
}

/// The file of the output of the CNI plugin.
const PLUGIN: &str = "plugin";

fn in_own_mounts(directory: &Directory, script: &str) -> Result<Command> {
    let mut command = Command::new("busybox");
    command.args(OWN_MOUNTS);
    command.arg(directory.write("start.sh", script)?);
    command.arg(directory.file(""));
    Ok(command)
}

fn dhclient(directory: &Directory, identifier: &str) -> Result<Command> {
    let times = "initial-interval 1;\nbackoff-cutoff 2;\ntimeout 300;\n";
    let conf = [identifier, times].concat();
    let mut command = Command::new("dhclient");
    command.args(["-4", "-d"]);
    command
        .arg("-cf")
        .arg(directory.write("dhclient.conf", &conf)?);
    command.arg("-lf").arg(directory.write("leases", "")?);
    command.arg("-pf").arg(directory.file("pid"));
    command
        .arg("-sf")
        .arg(directory.write_program("script", DHCLIENT_SCRIPT)?);
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
fn cni(directory: &Directory, host: &Netns, netns: &Netns) -> Result<Vec<Running>> {
    // What an attempt before this one left.
    let _none = netns.ip(&format!("link del {CHILD}\n"));
    let socket = directory.file("socket");
    let mut command = Command::new(format!("{CNI_PLUGINS}/dhcp"));
    command.arg("daemon").arg("-socketpath").arg(&socket);
    let daemon = Running::start(host, &mut command, directory, OUTPUT)?;
    wait_for("the socket of the dhcp plugin", || Ok(socket.exists()))?;
    let conf = serde_json::json!({
        "cniVersion": "0.4.0", "name": "lan", "type": "ipvlan", "master": PARENT, "mode": "l2",
        "ipam": { "type": "dhcp", "daemonSocketPath": socket },
    });
    let conf = directory.write("conf", &conf.to_string())?;
    let mut command = Command::new("busybox");
    let plugin = format!("exec {CNI_PLUGINS}/ipvlan < {}", conf.display());
    command.args(["sh", "-c", &plugin]).envs([
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "cni"),
        ("CNI_NETNS", &format!("{NAMES}/{}", netns.reference())),
        ("CNI_IFNAME", CHILD),
        ("CNI_PATH", CNI_PLUGINS),
    ]);
    let plugin = Running::start(host, &mut command, directory, PLUGIN)?;
    Ok(vec![plugin, daemon])
}

/// The IPv4 address of the child in `netns`.
pub(super) fn address(netns: &Netns) -> Result<Option<Ipv4Addr>> {
    let mut command = Command::new("ip");
    command.args(["-json", "-4", "addr", "show"]);
    let links: Value = serde_json::from_str(&netns.command(&mut command, "")?)?;
    let mut links = links.as_array().into_iter().flatten();
    let child = links.find(|link| link["ifname"] == CHILD);
    let local = child.and_then(|child| child["addr_info"][0]["local"].as_str());
    Ok(local.and_then(|local| local.parse().ok()))
}

/// Waits until the child in `netns` has an IPv4 address.
pub(super) fn wait_for_address(netns: &Netns, patience: Duration) -> Result<Option<Ipv4Addr>> {
    let found = Cell::default();
    until(patience, Duration::from_millis(50), || {
        found.set(address(netns)?);
        Ok(found.get().is_some())
    })?;
    Ok(found.get())
}
