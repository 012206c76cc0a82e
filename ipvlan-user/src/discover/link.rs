//! One row of a link dump.

use crate::{
    facts::{LinkName, LinkStats, Mode, Port, PortFlag, Xdp, XdpMode},
    netlink::attribute::{
        Malformed, after, attributes, i32_at, i32_value, text_value, u16_at, u16_value, u32_at,
        u32_value, u64_at,
    },
    text::escaped_start,
};

const HEADER: usize = 16;
/// How many bytes of an alias are kept; the kernel allows 255 (`IFALIASZ`).
const LONGEST_ALIAS: usize = 64;

const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_CONF: u16 = 2;
/// Index of `forwarding` in `IFLA_INET_CONF`, in numbers of 32 bits (`IPV4_DEVCONF_FORWARDING` - 1).
const IPV4_FORWARDING: usize = 0;
/// Index of `arp_ignore` there (`IPV4_DEVCONF_ARP_IGNORE` - 1).
const IPV4_ARP_IGNORE: usize = 18;
/// Index of `forwarding` in `IFLA_INET6_CONF`, in numbers of 32 bits (`DEVCONF_FORWARDING`).
const IPV6_FORWARDING: usize = 0;

const IPVLAN_F_PRIVATE: u16 = 1;
const IPVLAN_F_VEPA: u16 = 2;

/// A link as its row shows it. `lower_nsid` is in the numbering of the netns that asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LinkRow {
    pub(super) ifindex: u32,
    pub(super) hardware: u16,
    pub(super) flags: u32,
    pub(super) name: LinkName,
    /// Escaped and capped.
    pub(super) alias: Option<Box<str>>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: u32,
    /// Settings of IPv4; all zero without IPv4.
    pub(super) ipv4: Ipv4Settings,
    /// Of IPv6; false without IPv6.
    pub(super) forwarding: bool,
    pub(super) kind: Option<String>,
    /// Of an ipvlan link.
    pub(super) port: Option<Result<Port, Malformed>>,
    pub(super) master: Option<u32>,
    pub(super) master_kind: Option<String>,
    pub(super) lower: Option<u32>,
    pub(super) lower_nsid: Option<i32>,
    pub(super) xdp: Vec<Xdp>,
    pub(super) stats: LinkStats,
}

/// Settings of a link in `net.ipv4.conf`, without those of `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ipv4Settings {
    pub(super) forwarding: bool,
    pub(super) arp_ignore: i32,
}

impl LinkRow {
    pub(super) const fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP.cast_unsigned() != 0
    }

    pub(super) const fn is_without_arp(&self) -> bool {
        self.flags & libc::IFF_NOARP.cast_unsigned() != 0
    }

    pub(super) fn is_of_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    pub(super) const fn has_carrier(&self) -> bool {
        self.flags & libc::IFF_LOWER_UP.cast_unsigned() != 0
    }
}

/// Decodes the payload of an `RTM_NEWLINK`.
pub(super) fn decode_link(payload: &[u8]) -> Result<LinkRow, Malformed> {
    let attribute_bytes = after(payload, HEADER)?;
    let mut link = LinkRow {
        hardware: u16_at(payload, 2).unwrap_or_default(),
        ifindex: u32_at(payload, 4).unwrap_or_default(),
        flags: u32_at(payload, 8).unwrap_or_default(),
        ..LinkRow::default()
    };
    for attribute in attributes(attribute_bytes) {
        let (kind, value) = attribute?;
        match kind {
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok(),
            libc::IFLA_IFNAME => link.name = LinkName::from_bytes(value),
            libc::IFLA_IFALIAS => link.alias = alias(value),
            libc::IFLA_MTU => link.mtu = u32_value(value)?,
            libc::IFLA_LINK => link.lower = Some(u32_value(value)?).filter(|&lower| lower != 0),
            libc::IFLA_LINK_NETNSID => link.lower_nsid = Some(i32_value(value)?),
            libc::IFLA_MASTER => link.master = Some(u32_value(value)?),
            libc::IFLA_STATS64 => link.stats = decode_stats(value)?,
            libc::IFLA_LINKINFO => decode_info(value, &mut link)?,
            libc::IFLA_XDP => link.xdp = decode_xdp(value)?,
            libc::IFLA_AF_SPEC => decode_families(value, &mut link)?,
            _ => {}
        }
    }
    Ok(link)
}

/// The alias of a link (`ip link set DEV alias TEXT`), up to its NUL, as it is shown.
fn alias(value: &[u8]) -> Option<Box<str>> {
    let end = value.iter().position(|&byte| byte == 0);
    let text = &value[..end.unwrap_or(value.len())];
    (!text.is_empty()).then(|| escaped_start(text, LONGEST_ALIAS).into())
}

fn decode_info(value: &[u8], link: &mut LinkRow) -> Result<(), Malformed> {
    let mut data: &[u8] = &[];
    for attribute in attributes(value) {
        let (kind, value) = attribute?;
        match kind {
            IFLA_INFO_KIND => link.kind = Some(text_value(value)),
            IFLA_INFO_SLAVE_KIND => link.master_kind = Some(text_value(value)),
            IFLA_INFO_DATA => data = value,
            _ => {}
        }
    }
    if matches!(link.kind.as_deref(), Some("ipvlan" | "ipvtap")) {
        link.port = Some(decode_port(data));
    }
    Ok(())
}

fn decode_port(data: &[u8]) -> Result<Port, Malformed> {
    let mut mode = None;
    let mut flag = PortFlag::Bridge;
    for attribute in attributes(data) {
        let (kind, value) = attribute?;
        match kind {
            IFLA_IPVLAN_MODE => {
                mode = match u16_value(value)? {
                    0 => Some(Mode::L2),
                    1 => Some(Mode::L3),
                    2 => Some(Mode::L3s),
                    _ => return Err(Malformed("unknown ipvlan mode")),
                }
            }
            IFLA_IPVLAN_FLAGS => {
                flag = match u16_value(value)? & (IPVLAN_F_PRIVATE | IPVLAN_F_VEPA) {
                    0 => PortFlag::Bridge,
                    IPVLAN_F_PRIVATE => PortFlag::Private,
                    IPVLAN_F_VEPA => PortFlag::Vepa,
                    _ => return Err(Malformed("ipvlan port both private and vepa")),
                }
            }
            _ => {}
        }
    }
    let mode = mode.ok_or(Malformed("ipvlan link without a mode"))?;
    Ok(Port { mode, flag })
}

/// Settings of `net.ipv4.conf` and `net.ipv6.conf`, in the attributes of each family. A link without a family
/// has none of it.
fn decode_families(value: &[u8], link: &mut LinkRow) -> Result<(), Malformed> {
    for family in attributes(value) {
        let (family, value) = family?;
        for attribute in attributes(value) {
            let (kind, value) = attribute?;
            let setting = |index: usize| i32_at(value, index * size_of::<i32>());
            match (family, kind) {
                (AF_INET, IFLA_INET_CONF) => {
                    const TRUNCATED: Malformed = Malformed("truncated IPv4 settings");
                    link.ipv4 = Ipv4Settings {
                        forwarding: setting(IPV4_FORWARDING).ok_or(TRUNCATED)? != 0,
                        arp_ignore: setting(IPV4_ARP_IGNORE).ok_or(TRUNCATED)?,
                    };
                }
                (AF_INET6, IFLA_INET6_CONF) => {
                    const TRUNCATED: Malformed = Malformed("truncated IPv6 settings");
                    link.forwarding = setting(IPV6_FORWARDING).ok_or(TRUNCATED)? != 0;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// `struct rtnl_link_stats64` starts with packets and bytes, each received then sent.
fn decode_stats(value: &[u8]) -> Result<LinkStats, Malformed> {
    let counter = |index: usize| {
        u64_at(value, index * size_of::<u64>()).ok_or(Malformed("truncated link statistics"))
    };
    Ok(LinkStats {
        rx_packets: counter(0)?,
        tx_packets: counter(1)?,
        rx_bytes: counter(2)?,
        tx_bytes: counter(3)?,
    })
}

fn decode_xdp(value: &[u8]) -> Result<Vec<Xdp>, Malformed> {
    let mut programs = Vec::new();
    for attribute in attributes(value) {
        let (kind, value) = attribute?;
        let mode = match kind {
            IFLA_XDP_DRV_PROG_ID => XdpMode::Native,
            IFLA_XDP_SKB_PROG_ID => XdpMode::Generic,
            IFLA_XDP_HW_PROG_ID => XdpMode::Offload,
            _ => continue,
        };
        programs.push(Xdp {
            mode,
            program: u32_value(value)?,
        });
    }
    Ok(programs)
}

#[cfg(test)]
mod tests;
