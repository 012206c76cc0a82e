//! Sockets in the runtime directory that are not an agent's: what a compromised service user listens on.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::chown,
        net::{UnixListener, UnixStream},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::stat::Mode;

use crate::common::{Dir, HOST_IP, Node, PATIENCE};

use super::files::{SERVICE, WITHIN, runtime};

/// Row S14 of the attack table: each is named, an agent beside them is shown, and all of it has one deadline.
#[test]
fn sockets_that_do_not_answer_are_named_within_one_deadline() {
    let mut node = Node::new();
    node.dir = runtime();
    let dir = node.dir.path();
    let agent = node.start(&[]);
    // Higher than any process id can be.
    let at = |number: u32| dir.join(format!("{}.sock", 4_194_400 + number));
    let listener = |number: u32| {
        let listener = UnixListener::bind(at(number)).unwrap();
        chown(at(number), Some(SERVICE), Some(SERVICE)).unwrap();
        listener
    };
    let silent: Vec<_> = (0..40).map(&listener).collect();
    serve(listener(100), |stream| {
        loop {
            stream.write_all(b" ")?;
            thread::sleep(Duration::from_secs(1));
        }
    });
    serve(listener(101), |stream| {
        loop {
            stream.write_all(&[b' '; 4096])?;
        }
    });
    serve(listener(102), |stream| stream.write_all(b"\x1b[31m{\0"));
    serve(listener(103), |stream| {
        let agent = r#"{"parameters": {"agent": {"pid": 7, "version": "1", "netns": 1, "parents": [], "sync":
            {"wakes": 0, "syncs": 0, "overruns": 0, "failed": 0, "error": null, "mended": 0}}}}"#;
        stream.write_all(agent.as_bytes())?;
        stream.write_all(b"\0")
    });
    let lock = dir.join("1-1.lock");
    for fifo in [&at(104), &lock] {
        nix::unistd::mkfifo(fifo, Mode::S_IRWXU).unwrap();
    }
    drop(listener(105));
    let started = Instant::now();
    let ended = node.status(&["--json"]).exits(1);
    let took = started.elapsed();
    println!("status beside 44 sockets without an answer: {took:?}");
    assert!(took < WITHIN, "{took:?}");
    let status = ended.status();
    assert_eq!(status.agents.len(), 1);
    assert_eq!(status.agents[0].pid, agent.pid());
    assert_eq!(status.unanswered.len(), 45, "{:?}", status.unanswered);
    for (number, error) in [
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
        assert!(of.unwrap().error.contains(error), "{of:?}");
    }
    assert!(!at(105).exists(), "no process listens on it");

    let started = Instant::now();
    let pid = format!("(pid {})", agent.pid());
    node.cleanup(&[]).reports(&pid);
    assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
    assert!(!lock.exists());
    drop(silent);
    node.arp(HOST_IP, PATIENCE).unwrap();
}

#[test]
fn nothing_that_a_socket_answers_reaches_the_terminal() {
    let mut node = Node::new();
    node.dir = Dir::created();
    let listener = UnixListener::bind(node.dir.path().join("7.sock")).unwrap();
    let agent = serde_json::json!({
        "pid": 7, "version": "\u{1b}[31m\u{1b}]0;x\u{7}\nagent 8", "netns": 1, "parents": [],
        "sync": {"wakes": 0, "syncs": 0, "overruns": 0, "failed": 0, "error": "\u{9b}31m", "mended": 0},
    });
    let answer = serde_json::json!({"parameters": {"agent": agent}}).to_string() + "\0";
    serve(listener, move |stream| stream.write_all(answer.as_bytes()));
    for options in [&[][..], &["--json"]] {
        let ended = node.status(options).exits(1).prints("agent 8");
        for text in [&ended.stdout, &ended.stderr] {
            let mut all = text.chars();
            assert!(all.all(|it| it == '\n' || !it.is_control()), "{ended:?}");
        }
        assert!(!ended.stdout.contains("\nagent 8"), "{ended:?}");
    }
}

/// Answers one call of every connection, one after the other, until this process ends.
pub(crate) fn serve(
    listener: UnixListener,
    answer: impl Fn(&mut UnixStream) -> io::Result<()> + Send + 'static,
) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut call = [0; 1024];
            let _closed = stream.read(&mut call).and_then(|_| answer(&mut stream));
        }
    });
}
