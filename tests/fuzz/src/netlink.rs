//! The readers of netlink of the agent, which are private to it: single rows, and whole dumps of a kernel whose
//! answers are faulty.

use ipvlan_user::discover::fake;

/// Longest script that is run: more steps find no more.
const SCRIPT: usize = 60;

/// Decodes the row, or datagram of events, in every way there is.
pub fn decode(row: &[u8]) {
    // In an allocation of its own: a read past its end is one that a sanitizer sees.
    let row: Box<[u8]> = row.into();
    fake::decode(&row);
}

/// Reads the kernel's netns again and again while the answers of some are spoiled. Panics if that has an effect
/// on the others.
pub fn read(script: &[u8]) {
    fake::a_fault_in_one_netns_stays_there(script.get(..SCRIPT).unwrap_or(script));
}
