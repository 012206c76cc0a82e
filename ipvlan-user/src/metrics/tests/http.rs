//! The server, over a Unix socket, beside a loop that answers as a test wants.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use super::state;
use crate::{
    metrics::{BindError, Endpoint, Listener, Server, SocketFile, serve},
    runtime::Request,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Starts a server whose loop answers, or ignores, each request.
fn start(path: &Path, answers: bool) -> SocketFile {
    let (listener, file) = Listener::bind(&Endpoint::Unix(path.to_owned())).unwrap();
    let (requests, mut received) = mpsc::channel(8);
    let server = Server {
        requests,
        children: false,
        patience: Duration::from_millis(100),
    };
    tokio::spawn(serve(listener, server));
    tokio::spawn(async move {
        let mut ignored = Vec::new();
        while let Some(request) = received.recv().await {
            match request {
                Request::Status { reply, fresh } if answers => {
                    assert!(!fresh, "a scrape costs no scan");
                    let _gone = reply.send(Arc::new(state()));
                }
                other => ignored.push(other),
            }
        }
    });
    file.unwrap()
}

async fn exchange(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that does not read the rest of a request resets the connection once its answer is read.
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[test]
fn requests_are_answered_by_method_and_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.sock");
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(65));
    // Request, status, parts of the answer.
    let rows: [(&str, &str, &[&str]); 9] = [
        (
            "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK",
            &[
                "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
                "connection: close\r\n",
                "\r\n\r\n# HELP ipvlan_build ",
                "\n# EOF\n",
            ],
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK",
            &["\r\n\r\nok\n"],
        ),
        (
            "GET /readyz HTTP/1.0\r\n\r\n",
            "HTTP/1.0 503 Service Unavailable",
            // The one that waits.
            &[": "],
        ),
        (
            "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK",
            &["content-length: "],
        ),
        (
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 405 Method Not Allowed",
            &["allow: GET, HEAD\r\n"],
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 404 Not Found",
            &["/metrics, /healthz and /readyz"],
        ),
        (&long, "HTTP/1.1 431 ", &[]),
        (&many, "HTTP/1.1 431 ", &[]),
        ("what is this?\r\n\r\n", "HTTP/1.1 400 ", &[]),
    ];
    runtime().block_on(async {
        let _file = start(&path, true);
        for (request, status, parts) in rows {
            let answer = exchange(&path, request).await;
            assert!(answer.starts_with(status), "{request:.80}: {answer}");
            for part in parts {
                assert!(answer.contains(part), "{request:.80}: {part}: {answer}");
            }
            if request.starts_with("HEAD") {
                assert!(answer.ends_with("\r\n\r\n"), "{answer}");
            }
        }
    });
    assert!(!fs::exists(&path).unwrap(), "the socket is removed");
}

#[test]
fn a_loop_that_does_not_answer_is_not_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.sock");
    runtime().block_on(async {
        let _file = start(&path, false);
        for page in ["metrics", "healthz", "readyz"] {
            let answer = exchange(&path, &format!("GET /{page} HTTP/1.1\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("did not answer within 100ms"), "{answer}");
        }
    });
}

/// Clients that send nothing hold their connections for two seconds, and no other.
#[test]
fn silent_clients_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.sock");
    runtime().block_on(async {
        let _file = start(&path, true);
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        let answer = exchange(&path, "GET /healthz HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    });
}

#[test]
fn only_an_old_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.sock");
    let endpoint = Endpoint::Unix(path.clone());
    runtime().block_on(async {
        for make in [
            |path: &Path| fs::write(path, "mine"),
            |path: &Path| fs::create_dir(path),
            |path: &Path| std::os::unix::fs::symlink("/x", path),
        ] {
            make(&path).unwrap();
            let error = Listener::bind(&endpoint).unwrap_err();
            assert!(matches!(error, BindError::NotReplaced { .. }), "{error:?}");
            assert!(error.hint().is_some(), "{error}");
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                fs::remove_dir(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
        let (listener, file) = Listener::bind(&endpoint).unwrap();
        let error = Listener::bind(&endpoint).unwrap_err();
        assert!(matches!(error, BindError::InUse(_)), "{error:?}");
        drop(listener);
        // A process that was killed leaves its socket.
        std::mem::forget(file);
        let (_listener, file) = Listener::bind(&endpoint).unwrap();
        UnixStream::connect(&path).await.unwrap();
        drop(file);
        let connected = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(connected.kind(), io::ErrorKind::NotFound);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
