//! Commands with a deadline, and errors that show what was run and what it said.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long a configuration command may take; generous, for an emulated machine under load.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs `command` with `input` on its standard input and gives back its standard output.
///
/// Fails when the command cannot be started, exits with a failure or outlives
/// [`COMMAND_TIMEOUT`] (it is killed then).
pub fn run(command: &mut Command, input: &str) -> Result<String> {
    run_to(command, input, &[0])
}

/// The same for a command of which these exit codes are no failure.
pub fn run_to(command: &mut Command, input: &str, codes: &[i32]) -> Result<String> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    if let Some(mut stdin) = child.stdin.take() {
        // A command that fails early closes its input; its exit status says why.
        let _closed_early = stdin.write_all(input.as_bytes());
    }
    let status =
        wait(&mut child, COMMAND_TIMEOUT).with_context(|| format!("cannot wait for `{shown}`"))?;
    let stdout = stdout.map(joined).unwrap_or_default();
    let stderr = stderr.map(joined).unwrap_or_default();
    match status {
        Some(status) if status.code().is_some_and(|code| codes.contains(&code)) => Ok(stdout),
        Some(status) => bail!("`{shown}`: {status}: {}{}", stderr.trim(), said(input)),
        None => bail!(
            "`{shown}` was killed after {COMMAND_TIMEOUT:?}: {}",
            stderr.trim()
        ),
    }
}

/// Waits until `child` ends; after `timeout` kills it and gives `None`.
pub fn wait(
    child: &mut Child,
    timeout: Duration,
) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

fn said(input: &str) -> String {
    if input.is_empty() {
        String::new()
    } else {
        format!("\ninput was:\n{}", input.trim_end())
    }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read before the error is still worth showing.
        let _partial = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn joined(reader: thread::JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}
