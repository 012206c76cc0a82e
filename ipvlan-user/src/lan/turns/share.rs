//! The frames of one netns that wait for their turn.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use super::{CLASSES, Class, Frame};
use crate::{facts::NetnsId, lan::pace::Pace};

/// The frames of one netns.
#[derive(Debug)]
pub(super) struct Share {
    /// None for the agent's own netns.
    pub(super) pace: Option<Pace>,
    /// By class. A frame that was withdrawn stays until its turn, or until too many have been.
    pub(super) lines: [VecDeque<(u32, Frame, u8)>; CLASSES],
    /// How many frames were not withdrawn.
    pub(super) len: usize,
    /// Whether a repeat goes before a defence.
    pub(super) repeats: bool,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    /// In `sparse` or `others`.
    Ready,
    Delayed(Instant),
}

impl Share {
    /// The frame whose turn it is within the netns, its class and its cost.
    pub(super) fn first(
        &mut self,
        places: &BTreeMap<Frame, (NetnsId, u32)>,
    ) -> Option<(Frame, Class, u8)> {
        if self.len == 0 {
            return None;
        }
        let last = if self.repeats {
            [Class::Repeat, Class::Defence]
        } else {
            [Class::Defence, Class::Repeat]
        };
        let order = [Class::Urgent, Class::First, last[0], last[1]];
        for class in order {
            let line = &mut self.lines[class as usize];
            while let Some(&(number, frame, cost)) = line.front() {
                if places.get(&frame).is_some_and(|&(_, of)| of == number) {
                    return Some((frame, class, cost));
                }
                line.pop_front();
            }
        }
        None
    }

    /// Takes what [`Self::first`] returned.
    pub(super) fn take(&mut self, class: Class) {
        self.lines[class as usize].pop_front();
        self.len -= 1;
        self.repeats = class == Class::Defence;
    }

    /// Gives up the room of withdrawn frames once they are most of the queue.
    pub(super) fn compact(&mut self, places: &BTreeMap<Frame, (NetnsId, u32)>) {
        let held: usize = self.lines.iter().map(VecDeque::len).sum();
        if held <= 2 * self.len + 16 {
            return;
        }
        for line in &mut self.lines {
            line.retain(|(number, frame, _)| places.get(frame).is_some_and(|(_, of)| of == number));
            line.shrink_to_fit();
        }
    }
}
