//! Debian kernels for the virtual machines: fetched, unpacked and kept, never installed.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use super::{arch::ARCH, archive::Suite};
use crate::{exec, paths, tools::clients};

/// A kernel is one of these packages, or split over all of them.
const PACKAGES: [&str; 4] = [
    "linux-image-",
    "linux-binary-",
    "linux-modules-",
    "linux-base-",
];
/// How long the newest kernel counts as the newest without asking again.
const FRESH: Duration = Duration::from_hours(24);

/// The kernels that the promises are checked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// Debian 12 backports
    #[value(name = "6.12")]
    V6_12,
    /// The newest in the archive
    Latest,
}

impl Kernel {
    /// All of them, oldest first.
    pub(crate) const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::Latest];

    /// The oldest and the newest.
    pub(crate) const ENDS: [Self; 2] = [Self::V6_1, Self::Latest];

    /// Where to look for it, best first.
    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::V6_1 => &["bookworm"],
            Self::V6_12 => &["bookworm-backports", "trixie"],
            Self::Latest => &["sid", "trixie-backports"],
        }
    }

    /// What its version begins with.
    fn series(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1.",
            Self::V6_12 => "6.12.",
            Self::Latest => "",
        }
    }

    fn directory(self, flavour: Flavour) -> PathBuf {
        let name = match flavour {
            Flavour::Cloud => self.to_string(),
            Flavour::Generic => format!("{self}-generic"),
        };
        paths::vm().join("kernels").join(name)
    }
}

/// The builds of a Debian kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// For virtual machines: small, without drivers of real network cards.
    Cloud,
    /// For any machine, with all drivers.
    Generic,
}

impl Flavour {
    /// The package that depends on the newest kernel of a suite.
    fn meta_package(self) -> String {
        match self {
            Self::Cloud => format!("linux-image-cloud-{}", ARCH.debian),
            Self::Generic => format!("linux-image-{}", ARCH.debian),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Latest => "latest",
        })
    }
}

/// A kernel on disk.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// Its release, as `uname -r` would tell it.
    pub release: String,
    /// The image to boot.
    pub image: PathBuf,
    /// Its modules and their index.
    pub modules: PathBuf,
}

/// Finds `kernel` in the cache or fetches it.
pub(crate) fn install(kernel: Kernel, flavour: Flavour) -> Result<Installed> {
    let directory = paths::directory(kernel.directory(flavour))?;
    // Two runs at once fetch it once.
    let lock = File::create(directory.join("lock")).context("cannot make a lock")?;
    lock.lock().context("cannot wait for the lock")?;
    let cached = newest_cached(&directory);
    if let Some(cached) = &cached
        && (kernel != Kernel::Latest || is_fresh(&directory))
    {
        return Ok(cached.clone());
    }
    // Making the index takes kmod.
    clients::install(&clients::VM)?;
    let mut errors = Vec::new();
    for suite in kernel.suites() {
        match fetch(kernel, flavour, suite) {
            Ok(installed) => return Ok(installed),
            Err(error) => errors.push(format!("{suite}: {error:#}")),
        }
    }
    let errors = errors.join("\n");
    let Some(cached) = cached else {
        bail!("cannot get kernel {kernel} from any suite of the archive:\n{errors}")
    };
    exec::say(format!(
        "kernel {kernel}: cannot ask for a newer one, taking {}:\n{errors}",
        cached.release
    ));
    Ok(cached)
}

fn is_fresh(directory: &Path) -> bool {
    fs::metadata(stamp(directory))
        .and_then(|stamp| stamp.modified())
        .ok()
        .and_then(|asked| SystemTime::now().duration_since(asked).ok())
        .is_some_and(|age| age < FRESH)
}

/// Touched when the archive was last asked what is the newest.
fn stamp(directory: &Path) -> PathBuf {
    directory.join("asked")
}

fn fetch(kernel: Kernel, flavour: Flavour, suite: &str) -> Result<Installed> {
    let meta_package = flavour.meta_package();
    exec::say(format!("kernel {kernel}: asking {suite}"));
    let archive = Suite::open(suite)?;
    let packages = archive.closure(&meta_package, &PACKAGES)?;
    let prefix = format!("linux-image-{}", kernel.series());
    let Some(package) = packages
        .iter()
        .find(|name| **name != meta_package && name.starts_with(&prefix))
    else {
        bail!(
            "{meta_package} there is not of the series {}",
            kernel.series()
        );
    };
    let directory = kernel.directory(flavour);
    let root = directory.join(package);
    if look(&root).is_err() {
        exec::say(format!("kernel {kernel}: fetching {package}"));
        let unpacked = tempfile::tempdir_in(&directory).context("cannot make a directory")?;
        let packages: Vec<_> = packages
            .iter()
            .filter(|name| **name != meta_package)
            .cloned()
            .collect();
        let unpacked_root = unpacked.path().join("root");
        archive.unpack(&packages, &unpacked_root)?;
        index(&unpacked_root)?;
        if root.exists() {
            // Whatever is there is not a whole kernel.
            fs::remove_dir_all(&root)
                .with_context(|| format!("cannot remove {}", root.display()))?;
        }
        fs::rename(&unpacked_root, &root)
            .with_context(|| format!("cannot keep {}", root.display()))?;
    }
    let installed = look(&root)?;
    fs::write(stamp(&directory), "").context("cannot note when the archive was asked")?;
    Ok(installed)
}

/// Makes the index of the modules below `root`, which a package manager would do when installing.
fn index(root: &Path) -> Result<()> {
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))
            .context("cannot make lib a link to usr/lib")?;
    }
    let release = release(root)?;
    let depmod = exec::which("depmod").context("no depmod (Debian package kmod)")?;
    exec::output(Command::new(depmod).arg("-b").arg(root).arg(release)).map(drop)
}

fn release(root: &Path) -> Result<String> {
    let modules = root.join("lib/modules");
    let first = fs::read_dir(&modules)
        .with_context(|| format!("no modules in {}", modules.display()))?
        .next()
        .with_context(|| format!("nothing in {}", modules.display()))??;
    Ok(first.file_name().to_string_lossy().into_owned())
}

fn look(root: &Path) -> Result<Installed> {
    let release = release(root)?;
    let modules = root.join("lib/modules").join(&release);
    let image = [
        root.join(format!("boot/vmlinuz-{release}")),
        modules.join("vmlinuz"),
    ]
    .into_iter()
    .find(|image| image.is_file())
    .with_context(|| format!("no kernel image below {}", root.display()))?;
    for index in ["modules.dep", "modules.builtin"] {
        if !modules.join(index).is_file() {
            bail!("no {index} in {}", modules.display());
        }
    }
    Ok(Installed {
        release,
        image,
        modules,
    })
}

fn newest_cached(directory: &Path) -> Option<Installed> {
    fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let modified = path.metadata().ok()?.modified().ok()?;
            let kernel = name.starts_with("linux-image-").then(|| look(&path))?;
            Some((modified, kernel.ok()?))
        })
        .max_by_key(|(modified, _)| *modified)
        .map(|(_, kernel)| kernel)
}
