//! Options whose value is a word: each word, and its line in the help text.

use clap::{ValueEnum, builder::PossibleValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    attach::{Order, TcAttach, XdpMode},
    lan::{Announcing, DadMode, Defending},
    model::{Deliver, Dhcp, L2Broadcast},
};

/// Whether and where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpChoice {
    /// No XDP program.
    #[default]
    Off,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl From<XdpChoice> for Option<XdpMode> {
    fn from(choice: XdpChoice) -> Self {
        match choice {
            XdpChoice::Off => None,
            XdpChoice::Native => Some(XdpMode::Native),
            XdpChoice::Generic => Some(XdpMode::Generic),
        }
    }
}

impl From<Option<XdpMode>> for XdpChoice {
    fn from(mode: Option<XdpMode>) -> Self {
        match mode {
            None => Self::Off,
            Some(XdpMode::Native) => Self::Native,
            Some(XdpMode::Generic) => Self::Generic,
        }
    }
}

/// Names the words of a type, for the command line and for files.
macro_rules! words {
    ($( $type:ident { $( $variant:ident = $word:literal $( | $alias:literal )?: $help:literal, )+ } )+) => { $(
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$( Self::$variant ),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self {
                    $( Self::$variant => PossibleValue::new($word)$( .alias($alias) )?.help($help), )+
                })
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                word(deserializer)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match self {
                    $( Self::$variant => $word, )+
                })
            }
        }
    )+ };
}

words! {
    L2Broadcast {
        Filter = "filter": "Answer them, or drop them if their target is unowned, before the driver clones them",
        Flood = "flood": "Pass them to the kernel, which clones each to every child",
    }
    Deliver {
        Auto = "auto": "The cheaper one as measured: pass, on every kernel so far",
        Pass = "pass": "The driver delivers them",
        Redirect = "redirect": "The ingress program redirects them to the child",
    }
    Dhcp {
        Auto = "auto": "Set it while the parent has children in mode l2: the driver delivers a broadcast offer to a \
                        child that has no address yet",
        Off = "off": "Pass requests on unchanged",
    }
    TcAttach {
        Auto = "auto": "TCX where the kernel has it (6.6), else clsact",
        Tcx = "tcx": "TCX links",
        Clsact = "clsact": "Filters of a clsact qdisc",
    }
    Order {
        First = "first": "Before all other programs, which do not see the frames that ours answer",
        After = "after": "After the programs that are attached when the agent starts",
    }
    XdpChoice {
        Off = "off": "No XDP program",
        Native = "native": "In the driver; on a veth whose peer has neither an XDP program nor GRO, the TC programs \
                            answer",
        Generic = "generic": "In the network stack",
    }
    DadMode {
        Off = "off": "No probes",
        Optimistic = "optimistic" | "warn": "Answer during the probe; withdraw an address that another station owns",
        Strict = "strict" | "enforce": "Answer only after a clean probe, 4 to 7 seconds later",
    }
    Announcing {
        Off = "off": "No announcements, and no defence: only the probes of `--dad` are sent unasked",
        On = "on": "Three announcements each time, about a second apart",
    }
    Defending {
        Off = "off": "Claims are reported",
        On = "on": "Defend once, in modes l3 and l3s, after a short grace; in mode l2 no kernel defends an address",
    }
}

/// Reads one of the words of a type.
fn word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: ValueEnum,
{
    let text = String::deserialize(deserializer)?;
    T::from_str(&text, false).map_err(|_| {
        let possible = T::value_variants().iter().filter_map(T::to_possible_value);
        let names: Vec<String> = possible.map(|of| format!("`{}`", of.get_name())).collect();
        D::Error::custom(format!("`{text}` is none of {}", names.join(", ")))
    })
}
