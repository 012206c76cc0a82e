//! The columns of the table of children: titles, cells, order, and which of them a line has space for.

use std::{cmp::Ordering, net::IpAddr};

use super::rates::{LinkCounters, shown};
use crate::{
    cli::FamilyArgs,
    commands::netns,
    protocol::{LinkRates, Rates, TopChild},
};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Container or netns.
    Netns,
    /// Name of the interface.
    Child,
    /// Name of the parent.
    Parent,
    /// Mode of the port.
    Mode,
    /// The first address, and how many more there are.
    Address,
    /// State with its reason.
    State,
    /// Requests answered for it per second.
    Answered,
    /// Packets of the host that were hairpinned to it per second.
    Hairpinned,
    /// Packets redirected to it per second.
    Redirected,
    /// Requests and packets that were refused per second.
    Refused,
    /// Packets that the link received and sent per second.
    Packets,
    /// Bytes that the link received and sent per second.
    Bytes,
}

/// Properties of a column.
struct Properties {
    title: &'static str,
    /// The key that sorts by it.
    key: char,
    /// The first columns to be shown have the smallest numbers.
    priority: u8,
    /// Smallest and largest width.
    width: (u16, u16),
}

/// Cells are so many characters apart.
const GAP: u16 = 1;

impl Column {
    /// All columns, from left to right.
    pub(super) const ALL: [Self; 12] = [
        Self::Netns,
        Self::Child,
        Self::Parent,
        Self::Mode,
        Self::Address,
        Self::State,
        Self::Answered,
        Self::Hairpinned,
        Self::Redirected,
        Self::Refused,
        Self::Packets,
        Self::Bytes,
    ];

    const fn properties(self) -> Properties {
        let (title, key, priority, width) = match self {
            Self::Netns => ("NETNS", 'n', 0, (16, 40)),
            Self::Child => ("CHILD", 'i', 5, (7, 15)),
            Self::Parent => ("PARENT", 'e', 7, (7, 15)),
            Self::Mode => ("MODE", 'm', 8, (4, 4)),
            Self::Address => ("ADDRESS", 'd', 1, (17, 43)),
            Self::State => ("STATE", 's', 3, (13, 36)),
            Self::Answered => ("ANSWERED/s", 'a', 2, (10, 10)),
            Self::Hairpinned => ("HAIRPINNED/s", 'h', 6, (12, 12)),
            Self::Redirected => ("REDIRECTED/s", 't', 11, (12, 12)),
            Self::Refused => ("REFUSED/s", 'f', 4, (9, 9)),
            Self::Packets => ("PACKETS/s", 'x', 9, (9, 9)),
            Self::Bytes => ("BYTES/s", 'b', 10, (8, 8)),
        };
        Properties {
            title,
            key,
            priority,
            width,
        }
    }

    /// Returns its title.
    pub(super) const fn title(self) -> &'static str {
        self.properties().title
    }

    /// Returns the key that sorts by it.
    pub(super) const fn key(self) -> char {
        self.properties().key
    }

    /// Returns the column that this key sorts by.
    pub(super) fn of_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.key() == key)
    }

    /// Returns whether it has numbers: they are on the right of the cell, and the largest come first.
    pub(super) const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Answered
                | Self::Hairpinned
                | Self::Redirected
                | Self::Refused
                | Self::Packets
                | Self::Bytes
        )
    }

    /// Returns the text of its cell.
    pub(super) fn cell(self, row: &TopChild, family: FamilyArgs) -> String {
        let child = &row.child;
        match self {
            Self::Netns => netns::of_child(child),
            Self::Child => child.name.clone(),
            Self::Parent => row.parent.clone(),
            Self::Mode => child.mode.to_string(),
            Self::Address => {
                let addresses = child.addresses.iter();
                let mut addresses = addresses.filter(|of| family.has(&of.address));
                let first = addresses.next().map_or("-", |of| &*of.address);
                match addresses.count() {
                    0 => first.to_owned(),
                    more => format!("{first} +{more}"),
                }
            }
            Self::State => match &child.reason {
                Some(reason) => format!("{}: {reason}", child.state),
                None => child.state.to_string(),
            },
            _ => shown(row.per_second.as_ref().and_then(|of| self.rate(of))),
        }
    }

    /// Returns the rate in its cell.
    fn rate(self, rates: &Rates) -> Option<f64> {
        let Rates {
            answered,
            hairpinned,
            redirected,
            refused,
            link,
        } = *rates;
        let of_link = |sum: fn(LinkRates) -> f64| link.map(sum);
        match self {
            Self::Answered => Some(answered),
            Self::Hairpinned => Some(hairpinned),
            Self::Redirected => Some(redirected),
            Self::Refused => Some(refused),
            Self::Packets => of_link(|of| of.rx_packets + of.tx_packets),
            Self::Bytes => of_link(|of| of.rx_bytes + of.tx_bytes),
            Self::Netns | Self::Child | Self::Parent | Self::Mode | Self::Address | Self::State => {
                None
            }
        }
    }

    /// Compares two rows by this column: numbers from the largest, addresses by their bytes, everything else by its text.
    pub(super) fn compare(self, one: &TopChild, other: &TopChild, family: FamilyArgs) -> Ordering {
        let rate = |of: &TopChild| of.per_second.and_then(|of| self.rate(&of));
        if self.is_number() {
            let (one, other) = (rate(one).unwrap_or(-1.0), rate(other).unwrap_or(-1.0));
            return other.total_cmp(&one);
        }
        let text = |of: &TopChild| self.cell(of, family);
        if self == Self::Address {
            let address = |of: &TopChild| text(of).split(['/', ' ']).next()?.parse::<IpAddr>().ok();
            // A row without an address comes last.
            let key = |of: &TopChild| (address(of).is_none(), address(of));
            return key(one).cmp(&key(other));
        }
        text(one).cmp(&text(other))
    }
}

/// Returns the columns that fit into so many characters, from left to right, with their widths: first those that matter
/// most, then space is added to those with long texts. `has_parents` is whether there are several parents to
/// distinguish.
pub(super) fn fitting(
    width: u16,
    links: LinkCounters,
    has_parents: bool,
    longest: impl Fn(Column) -> u16,
) -> Vec<(Column, u16)> {
    let is_shown = |column: &Column| match column {
        Column::Packets | Column::Bytes => links == LinkCounters::Fresh,
        Column::Parent => has_parents,
        _ => true,
    };
    let mut columns: Vec<_> = Column::ALL.into_iter().filter(is_shown).collect();
    columns.sort_by_key(|column| column.properties().priority);
    let mut left = width;
    let mut chosen = Vec::new();
    for column in columns {
        let (least, _) = column.properties().width;
        let gap = if chosen.is_empty() { 0 } else { GAP };
        if least + gap > left {
            // The first one is shown whatever the width is; after one that does not fit none of less importance is.
            if chosen.is_empty() {
                chosen.push((column, left));
            }
            break;
        }
        left -= least + gap;
        chosen.push((column, least));
    }
    // In the order of importance.
    for (column, width) in &mut chosen {
        let (_, most) = column.properties().width;
        let more = longest(*column).min(most).saturating_sub(*width).min(left);
        *width += more;
        left -= more;
    }
    let place = |column: Column| Column::ALL.iter().position(|of| *of == column);
    chosen.sort_by_key(|(column, _)| place(*column));
    chosen
}
