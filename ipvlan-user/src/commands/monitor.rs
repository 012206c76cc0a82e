//! `ipvlan monitor`

use std::{
    io::{self, BufWriter, Write as _},
    ops::ControlFlow,
};

use super::{
    Outcome,
    agents::{NONE_RUNS, START_ONE},
    frame, json,
    netns::netns,
    stream::{self, Items, Sink},
};
use crate::{
    cli::{Format, MonitorArgs},
    exit::Failure,
    protocol::{
        Action, Event, Line, MonitorEvent, MonitorParameters, MonitorReply, SyncEvent, SyncKind,
        varlink::Method,
    },
    text::{counted, printable},
};

/// Shows events until a signal, the end of the output or the requested number of events.
pub fn monitor(args: MonitorArgs) -> Result<Outcome, Failure> {
    let MonitorArgs {
        topics,
        iface,
        count,
        output,
        find,
    } = args;
    let topics = (!topics.is_empty()).then(|| topics.into_iter().map(Into::into).collect());
    let method = Method::Monitor(MonitorParameters {
        topics,
        parent: iface.map(String::from),
    });
    let mut lines = Lines {
        out: BufWriter::new(io::stdout()),
        format: output.format(),
        left: count,
    };
    let runs = stream::run::<MonitorReply>(find, &method, &mut lines)?;
    if !runs {
        // Standard output is for events.
        eprintln!("{NONE_RUNS}\n{START_ONE}");
    }
    Ok(Outcome::of(runs))
}

impl Items for MonitorReply {
    type Item = MonitorEvent;

    fn into_items(self) -> (Vec<MonitorEvent>, u64) {
        (self.events, self.dropped)
    }
}

/// Events as lines.
struct Lines {
    out: BufWriter<io::Stdout>,
    format: Format,
    /// Events until it ends.
    left: Option<u64>,
}

impl Sink<MonitorEvent> for Lines {
    fn begin(&mut self, agents: usize) -> io::Result<()> {
        eprintln!(
            "monitoring {}; end with Ctrl-C",
            counted(agents, "agent", "agents")
        );
        Ok(())
    }

    fn write(&mut self, events: Vec<MonitorEvent>) -> io::Result<ControlFlow<()>> {
        for event in events {
            if self.left == Some(0) {
                break;
            }
            let line = match self.format {
                Format::Table => line(&event),
                Format::Json | Format::Jsonl => json::line(&Line::from(event))?,
            };
            self.out.write_all(line.as_bytes())?;
            self.left = self.left.map(|left| left - 1);
        }
        self.out.flush()?;
        Ok(if self.left == Some(0) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn end(&mut self, dropped: u64) -> io::Result<()> {
        if dropped > 0 {
            let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
            let dropped = counted(dropped, "event", "events");
            eprintln!("{dropped} dropped: they came faster than they were read");
        }
        self.out.flush()
    }

    fn name(&self) -> String {
        "standard output".to_owned()
    }
}

/// Renders an event as a line: time of the day (UTC), parent, topic, and what happened.
fn line(event: &MonitorEvent) -> String {
    let text = match event {
        MonitorEvent {
            frame: Some(of), ..
        } => frame::text(of, &frame::data(of)),
        MonitorEvent {
            conflict: Some(of), ..
        } => conflict(of),
        MonitorEvent { sync: Some(of), .. } => sync(of),
        // Of a newer agent.
        _ => String::new(),
    };
    format!(
        "{} {} {} {}\n",
        frame::time(event.time_ns),
        printable(event.parent.as_deref().unwrap_or("-")),
        printable(&event.topic.to_string()),
        printable(&text)
    )
}

fn conflict(event: &Event) -> String {
    let mut parts = vec![event.kind.to_string()];
    parts.extend(event.address.as_ref().map(|of| format!(" of {of}")));
    parts.extend(event.child.as_ref().map(|of| format!(", child {of}")));
    parts.extend(event.netns.as_ref().map(|of| format!(" in {}", netns(of))));
    parts.extend(event.mac.as_ref().map(|of| format!(", by {of}")));
    parts.extend(event.detail.as_ref().map(|of| format!(": {of}")));
    if event.action != Action::None {
        parts.push(format!(", {}", event.action));
    }
    if event.count > 1 {
        parts.push(format!(" ({} times)", event.count));
    }
    parts.concat()
}

fn sync(event: &SyncEvent) -> String {
    let SyncEvent {
        kind,
        what,
        took_us,
        put,
        removed,
        answered,
    } = event;
    let mut parts = vec![format!("{kind}: {what}")];
    if *kind == SyncKind::Synced {
        parts.push(match answered {
            Some(answered) => {
                format!(", addresses: {put} written, {removed} removed, {answered} answered")
            }
            None => ", no changes".to_owned(),
        });
    }
    let micros = took_us.unwrap_or_default() % 1000;
    let took = took_us.map(|us| format!(", {}.{micros:03} ms", us / 1000));
    parts.extend(took);
    parts.concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_and_untrusted_text_is_escaped() {
        let of = |topic: &str, fields: serde_json::Value| {
            let mut event =
                json!({"topic": topic, "time_ns": 3_723_000_004_000_u64, "parent": "eth0"});
            let (all, fields) = (event.as_object_mut().unwrap(), fields);
            all.extend(fields.as_object().unwrap().clone());
            line(&serde_json::from_value(event).unwrap())
        };
        let netns = json!({"nsid": 1, "names": ["/run/netns/red"]});
        let frame = json!({
            "parent": "eth0", "hook": "ingress", "verdict": "answered", "reason": "arp_answered",
            "child": "ipvl0", "ifindex": 7, "netns": netns, "time_ns": 0, "length": 42, "data": "",
        });
        let claim = json!({
            "time_ms": 0, "kind": "claim", "address": "10.0.0.5", "mac": "02:00:00:00:00:09",
            "parent": "eth0", "child": "ipvl0", "netns": netns, "action": "defended", "count": 3,
        });
        let sync = |fields: serde_json::Value| {
            let mut sync = json!({"kind": "synced", "what": "netns red"});
            sync.as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            json!({"sync": sync})
        };
        let rows = [
            (
                of("arp", json!({"frame": frame})),
                "arp ingress answered arp_answered red/ipvl0: truncated, length 42",
            ),
            (
                of("conflict", json!({"conflict": claim})),
                "conflict claim of 10.0.0.5, child ipvl0 in red, by 02:00:00:00:00:09, defended (3 times)",
            ),
            (
                of(
                    "sync",
                    sync(json!({"took_us": 1_042, "put": 2, "removed": 1, "answered": 9})),
                ),
                "sync synced: netns red, addresses: 2 written, 1 removed, 9 answered, 1.042 ms",
            ),
            (
                of("sync", sync(json!({"took_us": 42}))),
                "sync synced: netns red, no changes, 0.042 ms",
            ),
            (
                of(
                    "sync",
                    json!({"sync": {"kind": "failed", "what": "dump\u{1b}[31m\n"}}),
                ),
                "sync failed: dump\\u{1b}[31m\\u{a}",
            ),
            (of("of_the_future", json!({})), "of_the_future "),
        ];
        for (line, said) in rows {
            assert_eq!(line, format!("01:02:03.000004 eth0 {said}\n"));
        }
    }
}
