//! The configuration of the parent, and the deadline of the agent.

use aya_ebpf::{helpers::generated::bpf_jiffies64, macros::map, maps::Array};
use ipvlan_common::{Config, ConfigFlags, Control, Reason};

use super::ordered;

#[map]
static CONFIG: Array<Control> = Array::with_max_entries(1, 0);

/// Returns the configuration of the parent.
///
/// # Errors
///
/// [`Reason::NotReady`] if the first sync is not complete or the configuration is being changed, [`Reason::Stale`] if no
/// agent has been alive for too long.
#[inline(always)]
pub fn config() -> Result<Config, Reason> {
    let Some(control) = CONFIG.get_ptr(0) else {
        return Err(Reason::NotReady);
    };
    // Last to first, against the loader's first to last: a half-written copy differs from the other.
    // SAFETY: the value of an array, which is never freed; the loader may be writing it, and each of these
    // is read once.
    let (second, first, deadline) = unsafe {
        (
            ordered::read(&raw const (*control).second),
            ordered::read(&raw const (*control).first),
            ordered::read(&raw const (*control).deadline),
        )
    };
    if first != second || !first.has(ConfigFlags::READY) {
        return Err(Reason::NotReady);
    }
    // Ticks: the verifier makes two instructions of it, any other clock is a call of twenty nanoseconds.
    // SAFETY: the helper takes nothing.
    if unsafe { bpf_jiffies64() } > deadline {
        return Err(Reason::Stale);
    }
    Ok(first)
}
