//! The first file system of a virtual machine: `/init` and what the job needs, nothing else.
//!
//! In: this workspace's binaries, programs of this machine with the libraries they are linked to,
//! a kernel's modules, the job. Out: one archive, not compressed, because an emulated processor
//! would have to unpack it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{cpio::Archive, kernels, modules};
use crate::{exec, paths, tools::clients};

const DIRECTORIES: [&str; 13] = [
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/sbin",
    "var",
];
/// A file system with everything below /usr, as every current distribution has it.
const LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("var/run", "../run"),
];
/// The verb of the lab that takes the agent with another layout of its maps, and where it looks for it.
const FAULTS: &str = "faults";
const NEXT: &str = "/usr/bin/ipvlan-next";
const MODULES: &str = "usr/lib/modules";

/// Writes the image for `kernel` that loads `drivers` and runs `job` to `image`.
pub(crate) fn build(
    kernel: &kernels::Installed,
    drivers: &[&str],
    job: &[String],
    image: &Path,
) -> Result<()> {
    let file = File::create(image).with_context(|| format!("cannot create {}", image.display()))?;
    let mut builder = Builder {
        archive: Archive::new(BufWriter::new(file)),
        present: BTreeSet::new(),
    };
    builder
        .fill(kernel, drivers, job)
        .with_context(|| format!("cannot write {}", image.display()))?;
    builder.archive.finish()?;
    Ok(())
}

struct Builder {
    archive: Archive<BufWriter<File>>,
    present: BTreeSet<String>,
}

impl Builder {
    fn fill(
        &mut self,
        kernel: &kernels::Installed,
        drivers: &[&str],
        job: &[String],
    ) -> Result<()> {
        for directory in DIRECTORIES {
            self.directory(directory)?;
        }
        for (path, to) in LINKS {
            self.archive.link(path, to)?;
        }
        self.archive.device("dev/console", 5, 1)?;
        self.archive.link("init", "usr/bin/lab")?;
        for name in ["lab", "ipvlan"] {
            self.own(&paths::release(name), &format!("/usr/bin/{name}"))?;
        }
        if job.iter().any(|word| word == FAULTS) {
            self.own(&paths::next(), NEXT)?;
        }
        for name in clients::of(job) {
            let program = exec::which(name).with_context(|| format!("no program {name}"))?;
            self.program(&program)?;
        }
        for program in clients::unpacked(job) {
            self.file(program.place, &fs::read(&program.file)?)?;
            self.libraries(&program.file)?;
        }
        let mut list = String::new();
        for module in modules::needed(&kernel.modules, drivers)? {
            list.push('/');
            list += &self.module(&module)?;
            list.push('\n');
        }
        self.archive.file("etc/modules", list.as_bytes())?;
        self.archive
            .file("etc/job", (job.join("\n") + "\n").as_bytes())?;
        Ok(())
    }

    /// One of this workspace's binaries, without what only a debugger reads.
    fn own(&mut self, binary: &Path, place: &str) -> Result<()> {
        let stripped = tempfile::NamedTempFile::new_in(paths::directory(paths::vm())?)?;
        exec::output(
            Command::new("strip")
                .arg("-o")
                .arg(stripped.path())
                .arg(binary),
        )?;
        let bytes = fs::read(stripped.path())?;
        self.file(place.trim_start_matches('/'), &bytes)?;
        self.libraries(binary)
    }

    fn program(&mut self, program: &Path) -> Result<()> {
        self.copy(program)?;
        self.libraries(program)
    }

    fn libraries(&mut self, program: &Path) -> Result<()> {
        for library in linked(program)? {
            self.copy(&library)?;
        }
        Ok(())
    }

    /// The module at `path`, unpacked; gives where it is in the image.
    fn module(&mut self, path: &Path) -> Result<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (name, bytes) = match name.strip_suffix(".xz") {
            None => (name.as_ref(), fs::read(path)?),
            Some(stem) => (stem, unpack(path)?),
        };
        if Path::new(name).extension().is_none_or(|kind| kind != "ko") {
            bail!("cannot unpack the module {}", path.display());
        }
        let place = format!("{MODULES}/{name}");
        self.file(&place, &bytes)?;
        Ok(place)
    }

    fn copy(&mut self, path: &Path) -> Result<()> {
        let place = below_usr(path)?;
        if self.present.contains(&place) {
            return Ok(());
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.file(&place, &bytes)
    }

    fn file(&mut self, place: &str, bytes: &[u8]) -> Result<()> {
        if let Some((directory, _)) = place.rsplit_once('/') {
            self.directories(directory)?;
        }
        self.archive.file(place, bytes)?;
        self.present.insert(place.to_owned());
        Ok(())
    }

    fn directories(&mut self, path: &str) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directories(parent)?;
        }
        self.directory(path)
    }

    fn directory(&mut self, path: &str) -> Result<()> {
        if self.present.insert(path.to_owned()) {
            self.archive.directory(path)?;
        }
        Ok(())
    }
}

/// Where `path` is in the image: the image has nothing outside of /usr but links into it.
fn below_usr(path: &Path) -> Result<String> {
    let path = path.to_str().context("a path that is not UTF-8")?;
    let path = path.trim_start_matches('/');
    Ok(if path.starts_with("usr/") {
        path.to_owned()
    } else {
        format!("usr/{path}")
    })
}

/// The libraries that `program` is linked to, and its loader.
fn linked(program: &Path) -> Result<Vec<PathBuf>> {
    let text = exec::output(Command::new("ldd").arg(program))?;
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} lacks a library: {}", program.display(), missing.trim());
    }
    Ok(libraries(&text))
}

/// The paths in what `ldd` tells.
fn libraries(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

fn unpack(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(path)
        .output()
        .context("cannot start xz (Debian package xz-utils)")?;
    if !output.status.success() {
        bail!("xz cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(libraries(text), expected.map(PathBuf::from));
        assert!(libraries("\tstatically linked\n").is_empty());
    }

    #[test]
    fn everything_goes_below_usr() {
        assert_eq!(
            below_usr(Path::new("/lib64/ld.so")).unwrap(),
            "usr/lib64/ld.so"
        );
        assert_eq!(below_usr(Path::new("/usr/sbin/ip")).unwrap(), "usr/sbin/ip");
    }
}
