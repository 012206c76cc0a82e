//! DHCP clients of real nodes in l2 children. Each has an identifier that contains its name.

use serde_json::Value;

use super::process::{LEASES, Process};
use crate::{agent::list, netns::NAMES, rows::prelude::*};

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

/// A client of DHCP.
#[derive(Debug)]
pub(super) struct Program {
    /// Its name, which its identifier contains.
    pub(super) name: &'static str,
    /// Whether it renews by unicast, as RFC 2131 §4.4.5 has it; the CNI plugin broadcasts every request.
    pub(super) renews_by_unicast: bool,
    /// Whether it makes its child itself, on the parent of the host.
    pub(super) makes_child: bool,
    /// Starts it, given the host and the netns of the child.
    start: fn(&Netns, &Netns) -> Result<Process>,
}

pub(super) static PROGRAMS: [Program; 4] = [
    Program::new("dhclient", |_, netns| {
        dhclient(netns, "-4", "send dhcp-client-identifier \"dhclient\";\n")
    }),
    Program::new("dhcpcd", |_, netns| {
        let mut process = Process::new("dhcpcd")?;
        let conf = "clientid dhcpcd\nnoipv4ll\ntimeout 0\nreboot 0\n";
        process.write("dhcpcd.conf", conf)?;
        let mut command = in_own_mounts(&process, DHCPCD)?;
        process.run(netns, command.arg(CHILD))?;
        Ok(process)
    }),
    Program::new("networkd", |_, netns| {
        let mut process = Process::new("networkd")?;
        process.write("child.network", &network())?;
        let conf = "[Network]\nManageForeignRoutes=no\n";
        process.write("networkd.conf", conf)?;
        let mut command = in_own_mounts(&process, NETWORKD)?;
        process.run(netns, command.env("SYSTEMD_LOG_LEVEL", "debug"))?;
        Ok(process)
    }),
    Program {
        renews_by_unicast: false,
        makes_child: true,
        ..Program::new("cni", cni)
    },
];

impl Program {
    const fn new(name: &'static str, start: fn(&Netns, &Netns) -> Result<Process>) -> Self {
        Self {
            name,
            renews_by_unicast: true,
            makes_child: false,
            start,
        }
    }

    /// Starts it on the child in `netns`.
    pub(super) fn start(&self, host: &Netns, netns: &Netns) -> Result<Process> {
        (self.start)(host, netns)
    }
}

fn in_own_mounts(process: &Process, script: &str) -> Result<Command> {
    let mut command = Command::new("busybox");
    command.args(OWN_MOUNTS);
    command.arg(process.write("start.sh", script)?);
    command.arg(process.file(""));
    Ok(command)
}

/// Starts `dhclient` for a family, with a statement about its identifier: as it comes it sends none in IPv4.
pub(super) fn dhclient(netns: &Netns, family: &str, identifier: &str) -> Result<Process> {
    let mut process = Process::new("dhclient")?;
    let times = "initial-interval 1;\nbackoff-cutoff 2;\ntimeout 300;\n";
    let conf = [identifier, times].concat();
    let mut command = Command::new("dhclient");
    command.args([family, "-d"]);
    for (option, file) in [
        ("-cf", process.write("dhclient.conf", &conf)?),
        ("-lf", process.write(LEASES, "")?),
        ("-pf", process.file("pid")),
        ("-sf", process.write_program("script", DHCLIENT_SCRIPT)?),
    ] {
        command.arg(option).arg(file);
    }
    process.run(netns, command.arg(CHILD))?;
    Ok(process)
}

/// An identifier of RFC 4361: its default with the DUID of a machine, which containers of one image can share.
fn network() -> String {
    // An enterprise number, and "networkd".
    const DUID: &str = "00:00:ab:11:6e:65:74:77:6f:72:6b:64";
    format!(
        "[Match]\nName={CHILD}\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
         [DHCPv4]\nSendHostname=no\nClientIdentifier=duid\nDUIDType=vendor\nDUIDRawData={DUID}\nIAID=1\n"
    )
}

/// Starts the daemon of the `dhcp` plugin, then the `ipvlan` plugin as a container runtime does.
fn cni(host: &Netns, netns: &Netns) -> Result<Process> {
    let mut process = Process::new("cni")?;
    // What an attempt before this one left.
    let _none = netns.ip(&format!("link del {CHILD}\n"));
    let socket = process.file("socket");
    let mut command = Command::new(format!("{CNI_PLUGINS}/dhcp"));
    command.arg("daemon").arg("-socketpath").arg(&socket);
    process.run(host, &mut command)?;
    wait_for("the socket of the dhcp plugin", || Ok(socket.exists()))?;
    let conf = serde_json::json!({
        "cniVersion": "0.4.0", "name": "lan", "type": "ipvlan", "master": PARENT, "mode": "l2",
        "ipam": { "type": "dhcp", "daemonSocketPath": socket },
    });
    let conf = process.write("conf", &conf.to_string())?;
    let mut command = Command::new("busybox");
    let plugin = format!("exec {CNI_PLUGINS}/ipvlan < {}", conf.display());
    command.args(["sh", "-c", &plugin]).envs([
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "cni"),
        ("CNI_NETNS", &format!("{NAMES}/{}", netns.reference())),
        ("CNI_IFNAME", CHILD),
        ("CNI_PATH", CNI_PLUGINS),
    ]);
    process.run(host, &mut command)?;
    Ok(process)
}

/// Returns the IPv4 address of the child in `netns`.
pub(super) fn address(netns: &Netns) -> Result<Option<Ipv4Addr>> {
    let mut command = Command::new("ip");
    command.args(["-json", "-4", "addr", "show"]);
    let links: Value = serde_json::from_str(&netns.command(&mut command, "")?)?;
    let child = list(&links).find(|link| link["ifname"] == CHILD);
    let local = child.and_then(|child| child["addr_info"][0]["local"].as_str());
    Ok(local.and_then(|local| local.parse().ok()))
}

/// Waits until the child in `netns` has an IPv4 address.
pub(super) fn wait_for_address(netns: &Netns, patience: Duration) -> Result<Option<Ipv4Addr>> {
    let poll = Duration::from_millis(50);
    until(patience, poll, || Ok(address(netns)?.is_some()))?;
    address(netns)
}
