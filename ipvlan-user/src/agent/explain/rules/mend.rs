//! Commands, options and actions that change the rules.

use ipvlan_common::Reason;

use super::super::Explaining;
use crate::{
    facts::{NetnsId, Snapshot},
    model::{ClaimedAddress, Refusal},
};

/// Returns what changes a rule about an address of a child.
pub(super) fn of_rule(
    of: &Explaining<'_>,
    claim: &ClaimedAddress<'_>,
    refusal: Refusal,
) -> Option<String> {
    let address = of.address;
    let snapshot = of.kernel.snapshot();
    let parent = shell(of.serving.link.name.as_str(), "PARENT");
    let child = shell(claim.child.name.as_str(), "CHILD");
    let ip = ip(claim.child.key.netns, snapshot);
    let with_prefix = format!("{address}/{}", claim.address.prefix_len);
    Some(match refusal.reason {
        Reason::PeerAddress => format!(
            "{ip} addr del {address} dev {child}; {ip} addr add {with_prefix} dev {child}: without a peer"
        ),
        Reason::HostAddress => {
            let mut addresses = snapshot.host.addresses.iter();
            let link = addresses
                .find(|it| it.address == address)
                .and_then(|it| snapshot.link(it.ifindex));
            let link = link.map_or("LINK", |link| shell(link.name.as_str(), "LINK"));
            format!("give the child another address, or ip addr del {address} dev {link} on the host")
        }
        Reason::GatewayAddress => {
            "`next-hop = true` in a [[rule]] that matches its netns makes the child a next hop".to_owned()
        }
        Reason::TargetBroadcast
        | Reason::TargetMulticast
        | Reason::TargetLoopback
        | Reason::TargetUnspecified
        | Reason::TargetV4Mapped => "give the child an address that a station can have".to_owned(),
        Reason::TargetLinkLocal => "--answer-link-local".to_owned(),
        Reason::Denied if refusal.prefix.is_none() => {
            "remove `answer = false` from that rule".to_owned()
        }
        Reason::Denied => "remove the prefix from the list `deny`".to_owned(),
        Reason::NotAllowed if refusal.is_of_rule => {
            format!("add {address} to the list `allow` of that rule")
        }
        Reason::NotAllowed => format!("--allow {address}"),
        Reason::Silent => format!(
            "{ip} link set {child} arp on; net.ipv4.conf.{child}.arp_ignore other than 3 and 8"
        ),
        Reason::DadFailed => format!(
            "remove the other owner, then {ip} addr del {with_prefix} dev {child}; {ip} addr add {with_prefix} dev {child}"
        ),
        Reason::ChildDown => format!("{ip} link set {child} up"),
        Reason::ParentDown => format!("ip link set {parent} up"),
        Reason::Tentative => "wait for the end of its duplicate address detection".to_owned(),
        Reason::Probing => "wait for the end of the probe".to_owned(),
        Reason::Duplicate => {
            "remove the address from that station, or give the child another; --dad off answers regardless".to_owned()
        }
        Reason::OverQuota => "--netns-addresses, or `addresses` of a [[rule]]".to_owned(),
        _ => return None,
    })
}

/// Returns what changes a reason that only the programs give.
pub(super) fn of_frame(of: &Explaining<'_>, reason: Reason) -> Option<String> {
    let parent = shell(of.serving.link.name.as_str(), "PARENT");
    Some(match reason {
        Reason::NotOurs | Reason::ForeignDropped => format!(
            "ip -n NETNS addr add {}/{} dev CHILD, with CHILD an ipvlan link of {parent}",
            of.address,
            if of.address.is_ipv4() { 32 } else { 128 }
        ),
        Reason::Stale | Reason::NotReady => {
            "no sync has succeeded lately: see `ipvlan status`, then restart the agent".to_owned()
        }
        _ => return None,
    })
}

/// Returns the command `ip` in a netns, for a shell.
fn ip(netns: NetnsId, snapshot: &Snapshot) -> String {
    if netns == NetnsId::Own {
        return "ip".to_owned();
    }
    let known = snapshot.netns(netns);
    let named = known.and_then(|netns| {
        let mut files = netns.files.iter();
        files.find_map(|file| file.strip_prefix("/run/netns/"))
    });
    match (named, known.and_then(|netns| netns.pids.lowest())) {
        (Some(name), _) => format!("ip -n {}", shell(name, "NETNS")),
        (None, Some(pid)) => format!("nsenter -t {pid} -n ip"),
        (None, None) => "ip -n NETNS".to_owned(),
    }
}

/// Returns a name as a word of a command; `otherwise` if a shell would not take it for one word, or for an option.
/// Whoever owns a netns chooses the names in it, and an operator may copy the command.
pub(super) fn shell<'a>(name: &'a str, otherwise: &'a str) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte);
    if !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain) {
        name
    } else {
        otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_commands_are_one_word_or_a_placeholder() {
        for (name, expected) in [
            ("eth0", "eth0"),
            ("cni-1.2@x_y", "cni-1.2@x_y"),
            ("-all", "CHILD"),
            ("", "CHILD"),
            ("a;reboot", "CHILD"),
            ("$(reboot)", "CHILD"),
            ("a\u{202e}", "CHILD"),
            ("a b", "CHILD"),
        ] {
            assert_eq!(shell(name, "CHILD"), expected);
        }
    }
}
