use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use super::*;
use crate::protocol::{AnsweredBy, Child, Netns};

/// An agent that serves `eth0` with so many children, and whose configuration is wrong.
async fn agent(mut requests: mpsc::Receiver<Request>, children: usize) {
    let schema: Value =
        serde_json::from_str(include_str!("../../protocol/tests/schema_1.json")).unwrap();
    let mut agent: Agent = serde_json::from_value(schema["agents"][0].clone()).unwrap();
    agent.parents.truncate(1);
    agent.parents[0].name = "eth0".to_owned();
    let child: Child = agent.parents[0].children[0].clone();
    agent.parents[0].children = (0..children)
        .map(|number| Child {
            name: format!("child{number}"),
            netns: Netns::default(),
            ..child.clone()
        })
        .collect();
    let state = Arc::new(State::from(agent));
    while let Some(request) = requests.recv().await {
        match request {
            Request::Status { reply, .. } => reply.send(Arc::clone(&state)).unwrap(),
            Request::Explain { question, reply } => {
                let is_served = question.parent.is_none_or(|parent| parent == "eth0");
                let explanation = is_served.then(|| Explanation {
                    address: question.address.to_string(),
                    parent: "eth0".to_owned(),
                    answered: AnsweredBy::None.into(),
                    owners: Vec::new(),
                    entry: None,
                    rules: Vec::new(),
                    frames: Vec::new(),
                    notes: Vec::new(),
                });
                reply.send(explanation).unwrap();
            }
            Request::Capture { parameters, reply } => {
                let (feed, frames) = crate::runtime::feed(2, &Arc::default());
                for length in 0..5 {
                    feed.send(frame(length, parameters.parent.clone().unwrap()));
                }
                reply.send(Ok(frames)).unwrap();
            }
            Request::Monitor {
                topics,
                parent,
                reply,
            } => {
                let (feed, events) = crate::runtime::feed(2, &Arc::default());
                for topic in topics {
                    feed.send(MonitorEvent {
                        topic: topic.into(),
                        time_ns: 1,
                        parent: parent.clone(),
                        frame: None,
                        conflict: None,
                        sync: None,
                    });
                }
                reply.send(Ok(events)).unwrap();
            }
            Request::Reload { reply } => reply
                .send(Sources {
                    error: Some("wrong".to_owned()),
                    ..Sources::default()
                })
                .unwrap(),
        }
    }
}

fn frame(length: u32, parent: String) -> Frame {
    Frame {
        parent,
        hook: crate::protocol::Hook::Xdp.into(),
        verdict: crate::protocol::Verdict::Answered.into(),
        reason: "arp_answered".to_owned(),
        child: None,
        ifindex: None,
        netns: None,
        time_ns: 1,
        length,
        data: String::new(),
    }
}

/// Sends bytes to a server beside such an agent. Returns the messages that it sends until it closes the connection.
fn answers(children: usize, sent: Vec<u8>) -> Vec<Value> {
    let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let reader = std::thread::spawn(move || {
        let _closed = near.write_all(&sent);
        near.shutdown(std::net::Shutdown::Write).unwrap();
        let mut received = Vec::new();
        let _reset = near.read_to_end(&mut received);
        received
    });
    runtime.block_on(async {
        far.set_nonblocking(true).unwrap();
        let far = UnixStream::from_std(far).unwrap();
        let (sender, requests) = mpsc::channel(1);
        let permit = Arc::new(tokio::sync::Semaphore::new(1)).acquire_owned();
        let agent = tokio::spawn(agent(requests, children));
        serve(far, sender, permit.await.unwrap()).await;
        agent.await.unwrap();
    });
    let received = reader.join().unwrap();
    let messages = received.split(|&byte| byte == 0);
    let messages = messages.filter(|message| !message.is_empty());
    messages
        .map(|it| serde_json::from_slice(it).unwrap())
        .collect()
}

fn call(value: &Value) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    bytes.push(0);
    bytes
}

#[test]
fn each_call_gets_its_replies_or_its_error() {
    let method = |name: &str| json!({"method": format!("{INTERFACE}.{name}")});
    let with = |mut call: Value, key: &str, value: Value| {
        call[key] = value;
        call
    };
    let service = |name: &str| format!("org.varlink.service.{name}");
    for (sent, error, parameter) in [
        (
            method("Nothing"),
            service("MethodNotFound"),
            "io.ipvlan.Agent.Nothing",
        ),
        (
            json!({"method": "org.example.A"}),
            service("InterfaceNotFound"),
            "org.example",
        ),
        (
            json!({"method": "Status"}),
            service("MethodNotFound"),
            "Status",
        ),
        (
            with(
                method("Status"),
                "parameters",
                json!({"fresh": true, "stale": 1}),
            ),
            service("InvalidParameter"),
            "stale",
        ),
        (
            with(method("Status"), "parameters", json!({"fresh": 7})),
            service("InvalidParameter"),
            "fresh",
        ),
        (method("Children"), service("ExpectedMore"), ""),
        (
            with(
                with(method("Children"), "parameters", json!({"parent": "eth7"})),
                "more",
                true.into(),
            ),
            format!("{INTERFACE}.NoSuchParent"),
            "eth7",
        ),
        (
            method("Reload"),
            format!("{INTERFACE}.ReloadFailed"),
            "wrong",
        ),
        (
            json!({"method": service("GetInterfaceDescription"), "parameters": {"interface": "org.example"}}),
            service("InterfaceNotFound"),
            "org.example",
        ),
        (
            json!({"method": service("GetInterfaceDescription")}),
            service("InvalidParameter"),
            "interface",
        ),
    ] {
        // The connection is of use after an error.
        let both = [call(&sent), call(&method("Counters"))].concat();
        let answers = answers(3, both);
        assert_eq!(answers.len(), 2, "{sent}: {answers:?}");
        assert_eq!(answers[0]["error"], error, "{sent}");
        let parameters = answers[0]["parameters"].to_string();
        assert!(parameters.contains(parameter), "{sent}: {parameters}");
        assert_eq!(answers[1]["parameters"]["parents"][0]["parent"], "eth0");
    }
}

#[test]
fn wrong_question_about_an_address_gets_an_error() {
    let parameter = "org.varlink.service.InvalidParameter";
    let parent = format!("{INTERFACE}.NoSuchParent");
    for (parameters, error, named) in [
        (json!({}), parameter, ""),
        (json!({"address": "10.0.0.1/24"}), parameter, "address"),
        (json!({"address": "eth0"}), parameter, "address"),
        (
            json!({"address": "10.0.0.1", "from": "0.0.0.0"}),
            parameter,
            "from",
        ),
        (
            json!({"address": "10.0.0.1", "from": "fe80::1"}),
            parameter,
            "from",
        ),
        (
            json!({"address": "10.0.0.1", "parent": "eth7"}),
            &*parent,
            "eth7",
        ),
    ] {
        let call =
            call(&json!({"method": format!("{INTERFACE}.Explain"), "parameters": parameters}));
        let answer = &answers(0, call)[0];
        assert_eq!(answer["error"], error, "{parameters}");
        let text = answer["parameters"].to_string();
        assert!(text.contains(named), "{parameters}: {text}");
    }
}

#[test]
fn question_about_an_address_gets_its_explanation() {
    for parameters in [
        json!({"address": "10.0.0.1"}),
        json!({"address": "10.0.0.1", "from": "host", "parent": "eth0"}),
    ] {
        let call =
            call(&json!({"method": format!("{INTERFACE}.Explain"), "parameters": parameters}));
        let explanation = &answers(0, call)[0]["parameters"]["explanation"];
        assert_eq!(explanation["address"], "10.0.0.1");
        assert_eq!(explanation["answered"], "none");
    }
}

#[test]
fn children_come_in_replies_that_are_not_long() {
    for count in [0, 1, CHILDREN_PER_REPLY, 5 * CHILDREN_PER_REPLY + 1] {
        for name in ["Status", "Children"] {
            let sent = json!({"method": format!("{INTERFACE}.{name}"), "more": true});
            let answers = answers(count, call(&sent));
            let (last, others) = answers.split_last().unwrap();
            assert!(last.get("continues").is_none(), "{last}");
            assert!(others.iter().all(|it| it["continues"] == true));
            let names: Vec<_> = answers
                .iter()
                .flat_map(|it| it["parameters"]["children"].as_array().unwrap())
                .map(|it| it["child"]["name"].as_str().unwrap().to_owned())
                .collect();
            let expected: Vec<_> = (0..count).map(|number| format!("child{number}")).collect();
            assert_eq!(names, expected);
            let has_agent = answers[0]["parameters"]["agent"].is_object();
            assert_eq!(has_agent, name == "Status");
        }
    }
}

#[test]
fn one_reply_has_the_agent_without_children_and_none_comes_to_a_oneway_call() {
    let status = json!({"method": format!("{INTERFACE}.Status")});
    let mut oneway = status.clone();
    oneway["oneway"] = true.into();
    let answers = answers(9, [call(&oneway), call(&status)].concat());
    assert_eq!(answers.len(), 1, "{answers:?}");
    let parents = &answers[0]["parameters"]["agent"]["parents"];
    assert_eq!(parents[0]["name"], "eth0");
    assert_eq!(parents[0]["children"], json!([]));
}

#[test]
fn what_is_no_call_ends_the_connection() {
    let long = vec![b' '; 2 * LONGEST_CALL];
    for sent in [
        &b"GET / HTTP/1.1\r\n\r\n\0"[..],
        b"\0",
        b"{}\0",
        b"\xff\0",
        b"",
        &long,
    ] {
        let after = call(&json!({"method": format!("{INTERFACE}.Counters")}));
        let sent = if sent == long {
            [sent, &after].concat()
        } else {
            sent.to_vec()
        };
        assert_eq!(answers(1, sent), Vec::<Value>::new());
    }
}

#[test]
fn service_describes_itself() {
    let info = call(&json!({"method": "org.varlink.service.GetInfo"}));
    let answer = &answers(0, info)[0]["parameters"];
    assert_eq!(
        answer["interfaces"],
        json!(["org.varlink.service", INTERFACE])
    );
    for interface in ["org.varlink.service", INTERFACE] {
        let described = call(&json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": interface},
        }));
        let answer = &answers(0, described)[0]["parameters"];
        let text = answer["description"].as_str().unwrap();
        assert!(text.contains(&format!("interface {interface}\n")), "{text}");
    }
}

#[test]
fn a_stream_counts_what_its_queue_has_no_place_for_and_ends_with_the_agent() {
    let capture =
        json!({"method": format!("{INTERFACE}.Capture"), "parameters": {"parent": "eth0"}});
    let refused = &answers(0, call(&capture))[0];
    assert_eq!(refused["error"], "org.varlink.service.ExpectedMore");

    let mut more = capture;
    more["more"] = true.into();
    let answers = answers(0, call(&more));
    let [first, frames, last] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(first["parameters"], json!({"frames": [], "dropped": 0}));
    assert_eq!(frames["continues"], true);
    assert_eq!(frames["parameters"]["dropped"], 3);
    let lengths: Vec<_> = frames["parameters"]["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|frame| (&frame["length"], &frame["verdict"]))
        .collect();
    assert_eq!(
        lengths,
        [
            (&json!(0), &json!("answered")),
            (&json!(1), &json!("answered"))
        ]
    );
    assert_eq!(last["error"], format!("{INTERFACE}.Stopping"));
}

#[test]
fn topics_are_those_that_were_asked_for_or_all() {
    let monitor = |parameters: Value| {
        let call = json!({"method": format!("{INTERFACE}.Monitor"), "parameters": parameters, "more": true});
        answers(0, self::call(&call))
    };
    for (parameters, topics, dropped) in [
        (json!({}), &["arp", "ndp"][..], 3),
        (json!({"topics": []}), &["arp", "ndp"], 3),
        (
            json!({"topics": ["sync", "conflict", "sync"]}),
            &["conflict", "sync"],
            0,
        ),
    ] {
        let answers = monitor(parameters);
        assert_eq!(
            answers[0]["parameters"],
            json!({"events": [], "dropped": 0})
        );
        let events = answers[1]["parameters"]["events"].as_array().unwrap();
        let words: Vec<_> = events.iter().map(|event| event["topic"].clone()).collect();
        assert_eq!(words, topics);
        assert_eq!(answers[1]["parameters"]["dropped"], dropped);
    }
    let refused = &monitor(json!({"topics": ["arp", "weather"]}))[0];
    assert_eq!(refused["error"], "org.varlink.service.InvalidParameter");
    assert_eq!(refused["parameters"]["parameter"], "topics");
}
