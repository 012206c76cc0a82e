//! `ipvlan capture`

mod file;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    ops::ControlFlow,
    path::PathBuf,
};

use self::file::PacketFile;
use super::{
    Outcome,
    agents::{NONE_RUNS, START_ONE},
    frame,
    stream::{self, Items, Sink},
};
use crate::{
    cli::CaptureArgs,
    exit::Failure,
    protocol::{CaptureParameters, CaptureReply, Frame, varlink::Method},
    text::{counted, escaped_path},
};

/// Bytes of a frame that are captured unless the command line has another number.
const LENGTH: u32 = 256;
/// Standard output, as the name of a file.
const STDOUT: &str = "-";

/// Captures frames until a signal, the end of the output or the requested number of frames.
pub fn capture(args: CaptureArgs) -> Result<Outcome, Failure> {
    let CaptureArgs {
        write,
        of,
        iface,
        count,
        snaplen,
        find,
    } = args;
    let length = snaplen.unwrap_or(LENGTH);
    let method = Method::Capture(CaptureParameters {
        parent: iface.map(String::from),
        of,
        length: Some(length),
    });
    let mut session = Session {
        write,
        length,
        output: Output::Lines(BufWriter::new(io::stdout())),
        left: count,
        captured: 0,
    };
    let runs = stream::run::<CaptureReply>(find, &method, &mut session)?;
    if !runs {
        // Standard output is for frames.
        eprintln!("{NONE_RUNS}\n{START_ONE}");
    }
    Ok(Outcome::of(runs))
}

impl Items for CaptureReply {
    type Item = Frame;

    fn into_items(self) -> (Vec<Frame>, u64) {
        (self.frames, self.dropped)
    }
}

/// A capture that runs.
struct Session {
    /// The packet file that is wanted; none for lines.
    write: Option<PathBuf>,
    /// Most bytes of a frame.
    length: u32,
    output: Output,
    /// Frames until it ends.
    left: Option<u64>,
    captured: u64,
}

impl Sink<Frame> for Session {
    fn begin(&mut self, agents: usize) -> io::Result<()> {
        if let Some(path) = &self.write {
            let to: Box<dyn Write> = if path.as_os_str() == STDOUT {
                Box::new(BufWriter::new(io::stdout()))
            } else {
                Box::new(BufWriter::new(File::create(path)?))
            };
            self.output = Output::Packets(PacketFile::new(to, self.length)?);
            // A disk that is full is reported before there are frames.
            self.output.flush()?;
        }
        eprintln!(
            "capturing from {}; end with Ctrl-C",
            counted(agents, "agent", "agents")
        );
        Ok(())
    }

    fn write(&mut self, frames: Vec<Frame>) -> io::Result<ControlFlow<()>> {
        for frame in &frames {
            if self.left == Some(0) {
                break;
            }
            let data = frame::data(frame);
            match &mut self.output {
                Output::Lines(out) => out.write_all(frame::line(frame, &data).as_bytes())?,
                Output::Packets(file) => file.write(frame, &data)?,
            }
            self.captured += 1;
            self.left = self.left.map(|left| left - 1);
        }
        if !frames.is_empty() {
            self.output.flush()?;
        }
        Ok(if self.left == Some(0) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn end(&mut self, dropped: u64) -> io::Result<()> {
        let flushed = self.output.flush();
        let captured = usize::try_from(self.captured).unwrap_or(usize::MAX);
        eprintln!(
            "{} captured, {dropped} dropped",
            counted(captured, "frame", "frames")
        );
        flushed
    }

    fn name(&self) -> String {
        match &self.write {
            Some(path) if path.as_os_str() != STDOUT => escaped_path(path).to_string(),
            _ => "standard output".to_owned(),
        }
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
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Lines(out) => out.flush(),
            Self::Packets(file) => file.flush(),
        }
    }
}
