//! What a command sees of the programs at a hook: whether the one of an agent is attached, and which foreign programs
//! run before it.

use std::io;

use ipvlan_common::Hook;

use super::{
    filter, mprog,
    order::{Other, Place},
};
use crate::{protocol::Mechanism, text::escaped};

/// The programs at a hook of a parent, seen from that of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whether the program of the agent is attached.
    pub attached: bool,
    /// The foreign programs that run before it and may keep frames from it, in their order.
    pub before: Vec<Foreign>,
}

/// A foreign program or filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is called; what is not printable in it is escaped.
    pub name: String,
    /// Whether it certainly passes no frame on.
    pub ends_the_chain: bool,
}

/// Reads where the program with this id runs at a TC hook of an interface of the current netns.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN` on a kernel with TCX, and whatever else the kernel returns.
pub fn survey(
    ifindex: u32,
    hook: Hook,
    mechanism: Mechanism,
    program_id: u32,
) -> io::Result<Survey> {
    let place = if mechanism == Mechanism::Clsact {
        let filters = filter::ours(ifindex)?;
        match filters.iter().find(|filter| filter.hook == hook) {
            Some(filter) => filter.place()?,
            None => Place::default(),
        }
    } else {
        Place::of_program(program_id, ifindex, hook)?
    };
    Ok(Survey {
        attached: place.here,
        before: place.before.iter().map(foreign).collect(),
    })
}

/// Returns whether the kernel has TCX hooks.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn has_tcx(ifindex: u32) -> io::Result<bool> {
    mprog::is_known(ifindex)
}

fn foreign(other: &Other) -> Foreign {
    Foreign {
        name: match other {
            Other::Tcx(id) => match name_of(*id) {
                Some(name) => format!("{other} ({name})"),
                None => other.to_string(),
            },
            Other::Filter(_) => other.to_string(),
        },
        ends_the_chain: other.ends_the_chain(),
    }
}

/// Returns the name of a loaded program, which takes `CAP_SYS_ADMIN`.
fn name_of(id: u32) -> Option<String> {
    let mut loaded = aya::programs::loaded_programs().map_while(Result::ok);
    let program = loaded.find(|program| program.id() == id)?;
    let name = escaped(program.name()).to_string();
    Some(name).filter(|name| !name.is_empty())
}
