//! Sockets in the runtime directory that are not an agent's: what a compromised service user listens on.

use std::{
    fs::{self},
    io::Write as _,
    os::unix::{
        fs::chown,
        net::{UnixListener, UnixStream},
    },
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ipvlan_user::protocol::Status;
use nix::sys::stat::Mode;

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan,
    world::{HOST_IP, PARENT},
};

/// The user of the service, and its group.
use super::files::{SERVICE, WITHIN, runtime, status};

/// Row S14 of the attack table: each is named, an agent beside them is shown, and all of it has one deadline.
#[test]
fn sockets_that_do_not_answer_are_named_within_one_deadline() {
    let world = World::new();
    let dir = runtime();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    // Higher than any process id can be.
    let at = |number: u32| dir.path().join(format!("{}.sock", 4_194_400 + number));
    let listener = |number: u32| {
        let listener = UnixListener::bind(at(number)).unwrap();
        chown(at(number), Some(SERVICE), Some(SERVICE)).unwrap();
        listener
    };
    let silent: Vec<_> = (0..40).map(&listener).collect();
    let drips = listener(100);
    let endless = listener(101);
    let nonsense = listener(102);
    let imitates = listener(103);
    nix::unistd::mkfifo(&at(104), Mode::S_IRWXU).unwrap();
    nix::unistd::mkfifo(&dir.path().join("1-1.lock"), Mode::S_IRWXU).unwrap();
    drop(listener(105));
    serve(drips, |stream| {
        loop {
            stream.write_all(b" ")?;
            thread::sleep(Duration::from_secs(1));
        }
    });
    serve(endless, |stream| {
        loop {
            stream.write_all(&[b' '; 4096])?;
        }
    });
    serve(nonsense, |stream| stream.write_all(b"\x1b[31m{"));
    serve(imitates, |stream| {
        let agent = r#"{"pid": 7, "version": "1", "netns": 1, "parents": [], "sync": {"wakes": 0, "syncs": 0,
            "overruns": 0, "failed": 0, "error": null, "mended": 0}}"#;
        stream.write_all(agent.as_bytes())
    });
    let started = Instant::now();
    let ended = Ended::of(status(&dir, dir.path(), &["--json"]), &world);
    let took = started.elapsed();
    println!("status beside 44 sockets without an answer: {took:?}");
    assert!(took < WITHIN, "{took:?}");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let status: Status = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(status.agents.len(), 1);
    assert_eq!(status.agents[0].pid, agent.pid());
    assert_eq!(status.unanswered.len(), 45, "{:?}", status.unanswered);
    for (number, says) in [
        (0, "does not answer"),
        (39, "does not answer"),
        (100, "does not answer in time"),
        (101, "its answer has more than"),
        (102, "its answer is no status"),
        (103, "it answers as the agent with pid 7"),
        (104, "it is a FIFO"),
    ] {
        let path = at(number).to_str().unwrap().to_owned();
        let of = status.unanswered.iter().find(|of| of.socket == path);
        assert!(of.unwrap().error.contains(says), "{of:?}");
    }
    assert!(!at(105).exists(), "no process listens on it");

    let started = Instant::now();
    let mut command = Command::new(ipvlan());
    command.args(["cleanup", "--runtime-dir"]).arg(dir.path());
    command.arg("--pin-dir").arg(dir.path());
    let ended = Ended::of(command, &world);
    let took = started.elapsed();
    assert!(took < WITHIN, "{took:?}");
    assert!(
        ended.stderr.contains(&format!("(pid {})", agent.pid())),
        "{ended:?}"
    );
    assert!(!dir.path().join("1-1.lock").exists());
    drop(silent);
    world.arp(HOST_IP, PATIENCE).unwrap();
}

#[test]
fn nothing_that_a_socket_answers_reaches_the_terminal() {
    let world = World::new();
    let dir = Dir::new();
    fs::create_dir(dir.path()).unwrap();
    let listener = UnixListener::bind(dir.path().join("7.sock")).unwrap();
    let answer = serde_json::json!({
        "pid": 7, "version": "\u{1b}[31m\u{1b}]0;x\u{7}\nagent 8", "netns": 1, "parents": [],
        "sync": {"wakes": 0, "syncs": 0, "overruns": 0, "failed": 0, "error": "\u{9b}31m", "mended": 0},
    });
    let answer = answer.to_string();
    serve(listener, move |stream| stream.write_all(answer.as_bytes()));
    for options in [&[][..], &["--json"]] {
        let ended = Ended::of(status(&dir, dir.path(), options), &world);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let is_safe = |text: &str| text.chars().all(|it| it == '\n' || !it.is_control());
        assert!(
            is_safe(&ended.stdout) && is_safe(&ended.stderr),
            "{ended:?}"
        );
        assert!(ended.stdout.contains(r"agent 8"), "{ended:?}");
        assert!(!ended.stdout.contains("\nagent 8"), "{ended:?}");
    }
}

/// Answers every connection, one after the other, until this process ends.
fn serve(
    listener: UnixListener,
    answer: impl Fn(&mut UnixStream) -> std::io::Result<()> + Send + 'static,
) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _closed = answer(&mut stream);
        }
    });
}
