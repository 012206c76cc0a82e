//! `ipvlan capture`

mod file;
mod line;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Duration, timeout},
};

use self::file::PacketFile;
use super::{Outcome, find_places};
use crate::{
    cli::CaptureArgs,
    config::Places,
    directory::Directory,
    exit::Failure,
    protocol::{CaptureParameters, CaptureReply, Frame, Unanswered},
    runtime::{Answers, Client, connect_all},
    text::{counted, netns_label, printable},
};

/// Bytes of a frame that are captured unless the command line has another number.
const LENGTH: u32 = 256;
/// How long an agent may take to load and attach the programs of all parents.
const PATIENCE: Duration = Duration::from_secs(30);
/// Standard output, as the name of a file.
const STDOUT: &str = "-";

/// Frames could not be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// An agent refused, or did not answer.
    #[error("{error}")]
    Refused {
        /// What it said, or what happened.
        error: String,
        /// Whether a privilege was missing.
        denied: bool,
    },
    /// All agents have stopped.
    #[error("the agent has stopped")]
    Stopped,
    /// A packet could not be written.
    #[error("write the packet file")]
    File(#[source] io::Error),
}

impl CaptureError {
    /// Returns whether a privilege was missing.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { denied: true, .. })
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { denied: true, .. } => Some("run as root, or as the user of the agent"),
            Self::Refused { .. } | Self::Stopped | Self::File(_) => None,
        }
    }
}

/// Captures frames until a signal, the end of the output or the requested number of frames. Returns whether an agent
/// runs.
pub fn capture(args: CaptureArgs) -> Result<Outcome, Failure> {
    let CaptureArgs {
        write,
        of,
        iface,
        count,
        snaplen,
        find,
    } = args;
    let Places { runtime_dir, .. } = find_places(find)?;
    let Some(directory) = Directory::find(&runtime_dir)? else {
        return Ok(not_running());
    };
    let parameters = CaptureParameters {
        parent: iface.map(String::from),
        of,
        length: Some(snaplen.unwrap_or(LENGTH)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("start the runtime"))?;
    runtime.block_on(async {
        // From here on a signal ends the capture with its counts.
        let mut signals = Signals::new().map_err(Failure::system("catch signals"))?;
        let Answers {
            answers,
            unanswered,
            denied,
        } = connect_all(&directory)?;
        if answers.is_empty() && unanswered.is_empty() {
            return Ok(not_running());
        }
        let clients = begin(answers, unanswered, denied, &parameters).await?;
        let output = Output::open(write.as_deref(), snaplen.unwrap_or(LENGTH))?;
        let mut session = Session {
            output,
            left: count,
            captured: 0,
        };
        let agents = clients.len();
        eprintln!(
            "capturing from {}; end with Ctrl-C",
            counted(agents, "agent", "agents")
        );
        let (ended, dropped) = session.run(clients, &mut signals).await;
        let flushed = session.output.flush();
        let captured = usize::try_from(session.captured).unwrap_or(usize::MAX);
        eprintln!(
            "{} captured, {dropped} dropped",
            counted(captured, "frame", "frames")
        );
        ended.and(flushed)?;
        Ok(Outcome::Well)
    })
}

/// Reports that no agent runs: standard output is for frames.
fn not_running() -> Outcome {
    eprintln!("no agent is running");
    Outcome::NotRunning
}

/// Begins a capture with each agent. Returns those that capture: the others serve other parents, or children.
async fn begin(
    agents: Vec<(u32, Client)>,
    unanswered: Vec<Unanswered>,
    denied: bool,
    parameters: &CaptureParameters,
) -> Result<Vec<Client>, CaptureError> {
    let mut clients = Vec::new();
    let mut refused = unanswered
        .into_iter()
        .next()
        .map(|of| CaptureError::Refused {
            error: format!("{}: {}", of.socket, of.error),
            denied,
        });
    for (_, mut client) in agents {
        match timeout(PATIENCE, client.capture(parameters.clone())).await {
            Ok(Ok(())) => clients.push(client),
            Err(_elapsed) => {
                let error = format!("the agent with pid {} does not answer", client.pid());
                let denied = false;
                refused.get_or_insert(CaptureError::Refused { error, denied });
            }
            Ok(Err(error)) => {
                let denied = error.is_denied();
                let error = error.to_string();
                refused.get_or_insert(CaptureError::Refused { error, denied });
            }
        }
    }
    match refused {
        Some(refused) if clients.is_empty() => Err(refused),
        _ => Ok(clients),
    }
}

/// Signals that end a capture.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A capture that runs.
struct Session {
    output: Output,
    /// Frames until it ends.
    left: Option<u64>,
    captured: u64,
}

impl Session {
    /// Writes frames until it ends. Returns how many were dropped as well.
    async fn run(
        &mut self,
        clients: Vec<Client>,
        signals: &mut Signals,
    ) -> (Result<(), CaptureError>, u64) {
        let mut dropped = vec![0; clients.len()];
        let (sender, mut replies) = mpsc::channel(1);
        for (index, mut client) in clients.into_iter().enumerate() {
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Ok(reply) = client.frames().await {
                    if sender.send((index, reply)).await.is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let ended = loop {
            let received = tokio::select! {
                biased;
                () = signals.received() => break Ok(()),
                received = replies.recv() => received,
            };
            let Some((index, reply)) = received else {
                break Err(CaptureError::Stopped);
            };
            let CaptureReply {
                frames,
                dropped: so_far,
            } = reply;
            dropped[index] = so_far;
            match self.write(&frames) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                // The reader has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break Ok(()),
                Err(error) => break Err(CaptureError::File(error)),
            }
        };
        (ended, dropped.iter().sum())
    }

    /// Writes frames. Returns whether they were the last ones.
    fn write(&mut self, frames: &[Frame]) -> io::Result<bool> {
        for frame in frames {
            if self.left == Some(0) {
                break;
            }
            let data = STANDARD.decode(&frame.data).map_err(io::Error::other)?;
            match &mut self.output {
                Output::Lines(out) => out.write_all(line::render(frame, &data).as_bytes())?,
                Output::Packets(file) => file.write(frame, &data)?,
            }
            self.captured += 1;
            self.left = self.left.map(|left| left - 1);
        }
        if !frames.is_empty() {
            self.output.flush_now()?;
        }
        Ok(self.left == Some(0))
    }
}

/// Where frames go.
enum Output {
    /// One line each to standard output.
    Lines(BufWriter<io::Stdout>),
    /// A packet file.
    Packets(PacketFile<Box<dyn Write>>),
}

impl Output {
    /// Opens a packet file, or standard output.
    fn open(write: Option<&Path>, length: u32) -> Result<Self, Failure> {
        let Some(path) = write else {
            return Ok(Self::Lines(BufWriter::new(io::stdout())));
        };
        let to: Box<dyn Write> = if path.as_os_str() == STDOUT {
            Box::new(BufWriter::new(io::stdout()))
        } else {
            let file = File::create(path).map_err(Failure::system("create the packet file"))?;
            Box::new(BufWriter::new(file))
        };
        let file = PacketFile::new(to, length).map_err(CaptureError::File)?;
        Ok(Self::Packets(file))
    }

    fn flush_now(&mut self) -> io::Result<()> {
        match self {
            Self::Lines(out) => out.flush(),
            Self::Packets(file) => file.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), CaptureError> {
        match self.flush_now() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed.map_err(CaptureError::File),
        }
    }
}

/// Returns the words about a frame: verdict, reason, child.
fn words(frame: &Frame) -> String {
    let child = frame.child.as_ref().map(|child| {
        let netns = frame.netns.as_ref().map(|of| {
            let label = netns_label(&of.names, of.pid, of.nsid);
            format!("{}/", printable(&label))
        });
        format!(" {}{}", netns.unwrap_or_default(), printable(child))
    });
    format!(
        "{} {}{}",
        printable(&frame.verdict.to_string()),
        printable(&frame.reason),
        child.unwrap_or_default()
    )
}
