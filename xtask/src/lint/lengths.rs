//! No file of code is longer than a reader can keep in mind.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{exec, paths};

/// The most lines of a file of code, its tests included.
const MOST: usize = 400;

/// Fails if a file of code in the repository is too long.
pub(super) fn check() -> Result<()> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--", "*.rs"]);
    let listed = exec::output(list.current_dir(paths::workspace()))?;
    let files = listed.split('\0').filter(|path| !path.is_empty());
    let long = files
        .map(|path| paths::workspace().join(path))
        // What is deleted and not committed is listed.
        .filter(|path| path.exists())
        .filter_map(|path| too_long(&path).transpose())
        .collect::<Result<Vec<_>>>()?;
    let title = format!("files of over {MOST} lines, to be split by subject:");
    exec::fail_for(&title, &long)
}

fn too_long(path: &Path) -> Result<Option<String>> {
    Ok(excess(path, &paths::read(path)?))
}

fn excess(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MOST).then(|| format!("{}: {lines}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_four_hundred_lines_at_most() {
        let path = Path::new("a.rs");
        assert_eq!(excess(path, &"//\n".repeat(400)), None);
        let long = excess(path, &"//\n".repeat(401));
        assert_eq!(long.as_deref(), Some("a.rs: 401"));
    }
}
