//! The Debian archive that this machine already installs from, read with package lists of our own:
//! other suites than the installed one, and nothing gets installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{exec, paths};

/// Tells where the archive is on a machine whose own package sources do not say.
const ARCHIVE: &str = "IPVLAN_DEBIAN_ARCHIVE";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite of the archive.
#[derive(Debug)]
pub(crate) struct Suite {
    directory: PathBuf,
}

impl Suite {
    /// Fetches the package list of the suite that this machine has; of Debian 12 on another distribution.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let release = release();
        Self::open(codename(&release).unwrap_or("bookworm"))
    }

    /// Fetches the package list of the suite `name`.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let archive = archive()?;
        if !Path::new(KEYS).exists() {
            bail!("{KEYS} is missing: install the package debian-archive-keyring");
        }
        let directory = paths::directory(paths::vm().join("apt").join(name))?;
        for part in ["state/lists/partial", "cache/archives/partial"] {
            paths::directory(directory.join(part))?;
        }
        let suite = Self { directory };
        suite.write(
            "sources.list",
            &format!("deb [signed-by={KEYS}] {archive} {name} main\n"),
        )?;
        suite.write("state/status", "")?;
        exec::output(suite.apt("apt-get").args(["update", "-qq"]))
            .with_context(|| format!("cannot fetch the package list of {name}"))?;
        Ok(suite)
    }

    /// The packages whose names begin with one of `prefixes` that `package` depends on, itself
    /// included.
    pub(crate) fn closure(&self, package: &str, prefixes: &[&str]) -> Result<Vec<String>> {
        let mut closure = vec![package.to_owned()];
        let mut next = 0;
        while let Some(package) = closure.get(next) {
            let mut command = self.apt("apt-cache");
            let depends = exec::output(command.args(["depends", "--important", package]))?;
            for name in dependencies(&depends) {
                let wanted = prefixes.iter().any(|prefix| name.starts_with(prefix));
                if wanted && !closure.iter().any(|known| known == name) {
                    closure.push(name.to_owned());
                }
            }
            next += 1;
        }
        Ok(closure)
    }

    /// Unpacks `packages` into `root`.
    pub(crate) fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let parent = root.parent().unwrap_or(root);
        let downloads = tempfile::tempdir_in(parent).context("cannot make a download directory")?;
        let mut command = self.apt("apt-get");
        command
            .current_dir(downloads.path())
            .args(["download", "-qq"])
            .args(packages);
        exec::output(&mut command)?;
        for entry in fs::read_dir(downloads.path())? {
            let package = entry?.path();
            exec::output(Command::new("dpkg").arg("-x").arg(&package).arg(root))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn apt(&self, program: &str) -> Command {
        let own = |key: &str, path: &str| format!("{key}={}", self.directory.join(path).display());
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        for option in [
            own("Dir::Etc::sourcelist", "sources.list"),
            own("Dir::State", "state"),
            own("Dir::State::lists", "state/lists"),
            own("Dir::State::status", "state/status"),
            own("Dir::Cache", "cache"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // The lists are in a directory of ours that apt's own user may not be able to enter.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// Names on the `Depends:` lines of `apt-cache depends`.
fn dependencies(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| {
            line.trim_start_matches([' ', '|'])
                .strip_prefix("Depends: ")
        })
        .map(str::trim)
}

/// Where this machine gets Debian from.
fn archive() -> Result<String> {
    if let Ok(archive) = std::env::var(ARCHIVE) {
        return Ok(archive);
    }
    let release = release();
    codename(&release)
        .and_then(|codename| sources().iter().find_map(|text| uri(text, codename)))
        .with_context(|| {
            format!(
                "no Debian archive among the package sources of this machine: name one in {ARCHIVE}"
            )
        })
}

fn release() -> String {
    fs::read_to_string("/etc/os-release").unwrap_or_default()
}

/// The codename in `release`, the text of `/etc/os-release`, if it is Debian's.
fn codename(release: &str) -> Option<&str> {
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .filter(|_| release.lines().any(|line| line == "ID=debian"))
}

fn sources() -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files.insert(0, PathBuf::from("/etc/apt/sources.list"));
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect()
}

/// The archive that `text`, a file of package sources in either format, names for `suite`.
fn uri(text: &str, suite: &str) -> Option<String> {
    let one_line = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("deb "))
        .find_map(|line| {
            let options_end = line.find(']').map_or(0, |end| end + 1);
            let mut words = line[options_end..].split_whitespace();
            let uri = words.next()?;
            (words.next()? == suite && words.any(|word| word == "main")).then_some(uri)
        });
    let stanza = || {
        text.split("\n\n")
            .find_map(|stanza| stanza_uri(stanza, suite))
    };
    one_line.or_else(stanza).map(str::to_owned)
}

fn stanza_uri<'a>(stanza: &'a str, suite: &str) -> Option<&'a str> {
    let words = |key: &str| {
        stanza
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default()
            .split_whitespace()
    };
    let fits = words("Types:").any(|word| word == "deb")
        && words("Suites:").any(|word| word == suite)
        && words("Components:").any(|word| word == "main")
        && words("Enabled:").all(|word| word != "no");
    if fits { words("URIs:").next() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_archive_in_a_deb822_file() {
        let text = "Types: deb\n# a comment\nURIs: http://security.invalid/debian-security\n\
                    Suites: bookworm-security\nComponents: main\n\n\
                    Types: deb\nURIs: http://archive.invalid/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main contrib\n";
        assert_eq!(
            uri(text, "bookworm").unwrap(),
            "http://archive.invalid/debian"
        );
        assert_eq!(uri(text, "trixie"), None);
    }

    #[test]
    fn finds_the_archive_in_a_one_line_file() {
        let text = "# deb http://old.invalid/debian bookworm main\n\
                    deb https://other.invalid/apt tool main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://archive.invalid/debian bookworm main\n";
        assert_eq!(
            uri(text, "bookworm").unwrap(),
            "http://archive.invalid/debian"
        );
    }

    #[test]
    fn another_distribution_has_no_codename_of_debian() {
        let release = "NAME=Debian\nVERSION_CODENAME=trixie\nID=debian\n";
        assert_eq!(codename(release), Some("trixie"));
        assert_eq!(codename("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
    }

    #[test]
    fn a_disabled_stanza_is_no_source() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://archive.invalid/debian\n\
                    Suites: bookworm\nComponents: main\n";
        assert_eq!(uri(text, "bookworm"), None);
    }

    #[test]
    fn dependencies_are_the_names_behind_depends() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-1-cloud-amd64\n \
                    |Depends: kmod\n  Recommends: firmware\n";
        assert_eq!(
            dependencies(text).collect::<Vec<_>>(),
            ["linux-image-6.1.0-1-cloud-amd64", "kmod"]
        );
    }
}
