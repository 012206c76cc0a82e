//! Running other programs: every failure names the command that failed.

use std::{
    ffi::OsStr,
    fmt::Display,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs `command` with the terminal of this process.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs test binary `command`: what libtest prints is shown as it comes, and the failing tests with their panics are
/// repeated in the error. Parts run beside each other, so that a failure would be lost among the lines of others.
pub(crate) fn run_tests(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut failures = Vec::new();
    for line in child
        .stdout
        .take()
        .into_iter()
        .flat_map(|stdout| BufReader::new(stdout).split(b'\n'))
    {
        let line = line.with_context(|| format!("cannot read what `{shown}` prints"))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        if line == "failures:" || !failures.is_empty() {
            failures.push(line);
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}\n{}", failures.join("\n"));
    }
    Ok(())
}

/// Runs `command` as progress: what it prints goes to standard error, results keep standard output.
pub(crate) fn progress(command: &mut Command) -> Result<()> {
    run(command.stdin(Stdio::null()).stdout(std::io::stderr()))
}

/// Runs `command` silently and gives its standard output; what it said is part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = if stderr.trim().is_empty() {
            stdout.trim()
        } else {
            stderr.trim()
        };
        bail!("`{shown}` failed: {}\n{said}", output.status);
    }
    Ok(stdout)
}

/// Does `command` end well? What it prints is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| {
        // A long search path tells nobody anything.
        let value = value.filter(|_| name != OsStr::new("PATH"))?;
        Some(format!("{}={}", name.display(), value.display()))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.display().to_string());
    environment.chain(words).collect::<Vec<_>>().join(" ")
}

/// Is this process root?
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A command that runs `program` as root, through sudo where this process is not root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = which("sudo") else {
        bail!(
            "{} needs root and there is no sudo: run this as root",
            program.as_ref().display()
        );
    };
    let mut command = Command::new(sudo);
    command.arg("--preserve-env").arg(program);
    Ok(command)
}

/// Where `program` is: the search path, then the directories that only root has on it.
pub(crate) fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Fails with everything that is wrong below `title`, if something is.
pub(crate) fn fail_for(title: &str, failures: &[impl Display]) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    let lines = failures.iter().map(|failure| format!("\n{failure}"));
    bail!("{title}{}", lines.collect::<String>())
}

/// Tells what is going on, on standard error.
pub(crate) fn say(text: impl AsRef<str>) {
    // With no standard error there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{}", text.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c echo broken"), "{error}");
        assert!(error.contains("exit status: 3\nbroken"), "{error}");
    }

    #[test]
    fn failing_tests_are_repeated_in_the_error() {
        let script =
            "printf 'test a ... ok\\n\\nfailures:\\n\\n---- b stdout ----\\nleft: 1\\n'; exit 101";
        let error = run_tests(Command::new("sh").args(["-c", script]))
            .unwrap_err()
            .to_string();
        let (_, failures) = error.split_once("exit status: 101\n").unwrap();
        assert_eq!(failures, "failures:\n\n---- b stdout ----\nleft: 1");
        run_tests(&mut Command::new("true")).unwrap();
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("/nonexistent/tool")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/tool"));
    }

    #[test]
    fn the_shown_command_has_its_environment_but_no_search_path() {
        let mut command = Command::new("cargo");
        command.arg("build").env("A", "1").env("PATH", "/long");
        assert_eq!(shown(&command), "A=1 cargo build");
    }
}
