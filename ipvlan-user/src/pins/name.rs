//! What the directory of a parent is called.

/// What a directory of a parent is called after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinName {
    /// Name of the directory.
    pub file: String,
    /// The parent's name when it was last attached to, dots replaced.
    pub parent: String,
    /// Inode of its netns.
    pub netns: u64,
    /// Its interface index there.
    pub ifindex: u32,
}

impl PinName {
    pub(super) fn new(parent: &str, netns: u64, ifindex: u32) -> Self {
        let parent = parent.replace('.', "_");
        Self {
            file: format!("{parent}-{netns}-{ifindex}"),
            parent,
            netns,
            ifindex,
        }
    }

    /// Whether that was the parent's name.
    #[must_use]
    pub fn is_called(&self, parent: &str) -> bool {
        self.parent == parent.replace('.', "_")
    }

    pub(super) fn parse(file: &str) -> Option<Self> {
        let mut parts = file.rsplitn(3, '-');
        let ifindex = parts.next()?.parse().ok()?;
        let netns = parts.next()?.parse().ok()?;
        let name = Self::new(parts.next()?, netns, ifindex);
        // Not another spelling of a number, and no dots.
        (name.file == file).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_netns_and_ifindex_whatever_the_parent_is_called() {
        for (parent, file) in [
            ("ens34", "ens34-4026531840-2"),
            ("eth0.100", "eth0_100-4026531840-2"),
            ("br-lan-1", "br-lan-1-4026531840-2"),
            ("-", "--4026531840-2"),
        ] {
            let name = PinName::new(parent, 4_026_531_840, 2);
            assert_eq!(name.file, file);
            assert_eq!(PinName::parse(file), Some(name));
        }
        for file in [
            "",
            "ens34",
            "2",
            "1-2",
            "ens34-a-2",
            "ens34-1-b",
            "ens34-1-",
            "ens34-1-+2",
            "ens34-01-2",
            "eth0.100-1-2",
        ] {
            assert_eq!(PinName::parse(file), None, "{file}");
        }
    }
}
