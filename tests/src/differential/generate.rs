//! Nodes by chance: the same seed gives the same nodes.

use super::node::{Filter, Foreign, Node, PLAIN, Parent, Policy, Second, When};
use crate::demo::mode::Mode;

/// A sequence of numbers that its seed decides (`SplitMix64`).
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns one of `choices`.
    fn of<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        let count = u64::try_from(N).unwrap_or(u64::MAX).max(1);
        let place = usize::try_from(self.next() % count).unwrap_or_default();
        choices[place]
    }

    /// Returns true once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }
}

/// Returns the node with this number of the sequence that belongs to `seed`. Modes take turns; the more unusual a
/// part is, the fewer nodes have it.
pub(super) fn node(seed: u64, number: u64) -> Node {
    let mut dice = Dice(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mode = match number % 3 {
        0 => Mode::L2,
        1 => Mode::L3,
        _ => Mode::L3s,
    };
    let mut node = Node {
        mode,
        flag: dice.of(&["bridge", "bridge", "bridge", "private", "vepa"]),
        parent: dice.of(&[
            Parent::Nic,
            Parent::Nic,
            Parent::Vlan,
            Parent::Bridge,
            Parent::ActiveBackup,
            Parent::Alb,
        ]),
        second: dice.of(&[
            Second::None,
            Second::None,
            Second::SameLan,
            Second::HasHost,
            Second::OtherLan,
        ]),
        secondary: dice.once_in(3),
        single: dice.once_in(3),
        vip: dice.once_in(3),
        policy: dice.of(&[Policy::None, Policy::None, Policy::Subnet, Policy::Gateway]),
        rp_filter: dice.of(&[0, 1, 2]),
        arp_ignore: dice.of(&[0, 0, 0, 1, 2]),
        arp_announce: dice.of(&[0, 0, 1, 2]),
        proxy_arp: dice.once_in(4),
        filter: dice.of(&[
            Filter::None,
            Filter::None,
            Filter::Masquerade,
            Filter::Forward,
            Filter::Input,
        ]),
        foreign: dice.of(&[
            Foreign::None,
            Foreign::None,
            Foreign::Next,
            Foreign::Accept,
            Foreign::Xdp,
        ]),
        foreign_comes: dice.of(&[When::Before, When::After]),
        children_come: dice.of(&[When::Before, When::Before, When::After]),
    };
    if node.foreign == Foreign::None {
        node.foreign_comes = PLAIN.foreign_comes;
    }
    if node.second == Second::HasHost {
        // What is routed by source is routed by the parent, which has no address here.
        node.policy = PLAIN.policy;
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_nodes_and_another_one_others() {
        let nodes = |seed| (0..20).map(|number| node(seed, number)).collect::<Vec<_>>();
        assert_eq!(nodes(1), nodes(1));
        assert_ne!(nodes(1), nodes(2));
    }

    #[test]
    fn every_part_comes_up() {
        let nodes: Vec<_> = (0..200).map(|number| node(7, number)).collect();
        let some = |is_so: fn(&Node) -> bool| nodes.iter().any(is_so);
        assert!(some(|node| node.parent == Parent::ActiveBackup));
        assert!(some(|node| node.parent == Parent::Alb));
        assert!(some(|node| node.second == Second::HasHost));
        assert!(some(|node| node.policy == Policy::Gateway));
        assert!(some(|node| node.filter == Filter::Input));
        assert!(some(
            |node| node.foreign == Foreign::Accept && node.foreign_comes == When::After
        ));
        assert!(some(|node| node.children_come == When::After));
        assert!(some(|node| node.flag == "private" && node.mode == Mode::L3s));
        assert!(nodes.iter().all(|node| node.rp_filter <= 2));
    }
}
