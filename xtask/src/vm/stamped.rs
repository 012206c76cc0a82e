//! A log whose lines begin with the host's seconds since the machine's start.
//!
//! The clock of an emulated machine counts instructions and stands still for the host: only this tells what a row costs.

use std::{
    io::{Result, Write},
    time::Instant,
};

/// Writes through to `log`, with a time at the beginning of each line.
#[derive(Debug)]
pub(crate) struct Stamped<W> {
    log: W,
    start: Instant,
    /// Whether the next byte begins a line.
    begins: bool,
}

impl<W: Write> Stamped<W> {
    /// Times are counted from now.
    pub(crate) fn new(log: W) -> Self {
        Self {
            log,
            start: Instant::now(),
            begins: true,
        }
    }
}

impl<W: Write> Write for Stamped<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begins {
                write!(self.log, "{:7.1} ", self.start.elapsed().as_secs_f32())?;
            }
            self.log.write_all(part)?;
            self.begins = part.ends_with(b"\n");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.log.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_one_time_however_it_comes() {
        let mut log = Stamped::new(Vec::new());
        for piece in ["a\r\nb", "c", "\n\nd"] {
            log.write_all(piece.as_bytes()).unwrap();
        }
        let text = String::from_utf8(log.log).unwrap();
        let lines: Vec<_> = text
            .split_inclusive('\n')
            .map(|line| line.split_at(8).1)
            .collect();
        assert_eq!(lines, ["a\r\n", "bc\n", "\n", "d"]);
        assert!(text.starts_with("    0.0 a"), "{text}");
    }
}
