//! A prefix of addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// All addresses that share their first bits, of one family: `192.0.2.0/24`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The first address: no bit is set behind the prefix.
    first: IpAddr,
    len: u8,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// What is before the slash is no address.
    #[error("`{text}` is neither an IPv4 nor an IPv6 address")]
    Address {
        /// What is there.
        text: String,
    },
    /// What is behind the slash is no length of a prefix of this family.
    #[error("`{text}` is not a length from 0 to {longest}")]
    Length {
        /// What is there.
        text: String,
        /// The length of a single address.
        longest: u8,
    },
    /// The address has bits set behind the prefix, which is more likely a mistake than meant.
    #[error("`{text}` has bits set behind the prefix: {meant} is meant, or {address} alone")]
    HostBits {
        /// All of it.
        text: String,
        /// The prefix that the address is in.
        meant: Prefix,
        /// The address.
        address: IpAddr,
    },
}

impl Prefix {
    /// The prefix of this length that `address` is in; a length beyond the family's is its longest.
    #[must_use]
    pub fn of(address: IpAddr, len: u8) -> Self {
        let len = len.min(longest(address));
        Self {
            first: first(address, len),
            len,
        }
    }

    /// Whether `address` is in it. One of the other family never is.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && first(address, self.len) == self.first
    }

    /// Returns its first address: no bit is set behind the prefix.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// Returns its length in bits.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "not of a collection")]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether it is one of IPv4 addresses.
    #[must_use]
    pub const fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.len)
    }
}

/// `ADDRESS/LENGTH`; an address alone is the prefix of just this one.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = text
            .split_once('/')
            .map_or((text, None), |(address, len)| (address, Some(len)));
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address {
            text: address.to_owned(),
        })?;
        let longest = longest(address);
        let len = match len {
            None => longest,
            // `parse` alone would take a sign too.
            Some(digits) => digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| digits.parse().ok())
                .flatten()
                .filter(|&len| len <= longest)
                .ok_or_else(|| PrefixError::Length {
                    text: digits.to_owned(),
                    longest,
                })?,
        };
        let meant = Self::of(address, len);
        if meant.first != address {
            return Err(PrefixError::HostBits {
                text: text.to_owned(),
                meant,
                address,
            });
        }
        Ok(meant)
    }
}

const fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// `address` without the bits behind a prefix of this length, which is not beyond the family's.
fn first(address: IpAddr, len: u8) -> IpAddr {
    let behind = u32::from(longest(address).saturating_sub(len));
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_of_both_families_are_read_and_shown() {
        for (text, shown) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:DB8:0:0::7", "2001:db8::7/128"),
            ("::/0", "::/0"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_what_was_meant() {
        for (text, message) in [
            ("", "neither an IPv4"),
            ("/24", "neither an IPv4"),
            ("192.0.2/24", "neither an IPv4"),
            ("lan0", "neither an IPv4"),
            ("fe80::1%eth0/64", "neither an IPv4"),
            ("192.0.2.0/33", "from 0 to 32"),
            ("192.0.2.0/", "from 0 to 32"),
            ("192.0.2.0/+8", "from 0 to 32"),
            ("192.0.2.0/24/8", "from 0 to 32"),
            ("2001:db8::/129", "from 0 to 128"),
            ("192.0.2.7/24", "192.0.2.0/24 is meant, or 192.0.2.7 alone"),
            (
                "2001:db8::7/64",
                "2001:db8::/64 is meant, or 2001:db8::7 alone",
            ),
        ] {
            let error = text.parse::<Prefix>().unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_are_in_it_up_to_its_last_bit() {
        for (prefix, inside, outside) in [
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::/0", "ff02::1", "0.0.0.0"),
            ("::ffff:0:0/96", "::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let prefix: Prefix = prefix.parse().unwrap();
            assert!(prefix.contains(address(inside)), "{prefix} {inside}");
            assert!(!prefix.contains(address(outside)), "{prefix} {outside}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_survives_as_text_and_holds_the_address_it_is_of(
            address: IpAddr,
            len in 0..=130_u8,
        ) {
            let prefix = Prefix::of(address, len);
            prop_assert!(prefix.contains(address));
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }

        #[test]
        fn any_text_is_a_prefix_or_refused(text in "[0-9a-f:./%]{0,24}") {
            if let Ok(prefix) = text.parse::<Prefix>() {
                prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
            }
        }
    }
}
