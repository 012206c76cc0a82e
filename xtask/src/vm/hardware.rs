//! What a virtual machine has besides processor and memory.

use super::kernels::Flavour;

/// Network cards, their drivers, and the kernel that has these.
#[derive(Debug)]
pub(crate) struct Hardware {
    /// The build of the kernel.
    pub flavour: Flavour,
    /// QEMU's names of the cards. Each has a cable of its own to a virtio card, and nothing else is on that.
    pub cards: &'static [&'static str],
    /// The kernel's modules for them.
    pub drivers: &'static [&'static str],
}

impl Hardware {
    /// No card.
    pub(crate) const NONE: Self = Self {
        flavour: Flavour::Cloud,
        cards: &[],
        drivers: &[],
    };

    /// Returns what QEMU has to be told. The MAC of card N is `02:4e:00:00:NN:01`, and that of the
    /// card at the other end of its cable `02:4e:00:00:NN:02`; the lab finds them by these.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (number, card) in self.cards.iter().enumerate() {
            for (end, card) in [(1, *card), (2, "virtio-net-pci")] {
                arguments.extend([
                    "-netdev".to_owned(),
                    format!("hubport,id=end{number}{end},hubid={number}"),
                    "-device".to_owned(),
                    // Nobody boots from it.
                    format!(
                        "{card},netdev=end{number}{end},mac=02:4e:00:00:{number:02x}:{end:02x},romfile="
                    ),
                ]);
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_has_a_cable_to_another() {
        let hardware = Hardware {
            cards: &["e1000", "vmxnet3"],
            ..Hardware::NONE
        };
        let arguments = hardware.arguments();
        assert_eq!(
            arguments[4..],
            [
                "-netdev",
                "hubport,id=end02,hubid=0",
                "-device",
                "virtio-net-pci,netdev=end02,mac=02:4e:00:00:00:02,romfile=",
                "-netdev",
                "hubport,id=end11,hubid=1",
                "-device",
                "vmxnet3,netdev=end11,mac=02:4e:00:00:01:01,romfile=",
                "-netdev",
                "hubport,id=end12,hubid=1",
                "-device",
                "virtio-net-pci,netdev=end12,mac=02:4e:00:00:01:02,romfile=",
            ]
        );
        assert!(Hardware::NONE.arguments().is_empty());
    }
}
