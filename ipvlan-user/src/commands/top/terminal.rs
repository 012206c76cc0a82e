//! The terminal: its own screen and single keys while the program runs, and what was before when it ends.

use std::{
    io::{self, BufWriter, IsTerminal as _, Stdout, Write as _},
    panic,
    sync::Once,
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        style::force_color_output,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::{Rect, Size},
};

use super::view::Theme;

/// Bytes of a whole screen that are written at once.
const BUFFER: usize = 1 << 16;

/// A terminal in the state that the program needs. Dropped, it is as it was before.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

/// Returns whether there is a terminal to read keys from and to draw on.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn new(theme: Theme) -> io::Result<Self> {
        restore_on_panic();
        // The choice has been made, NO_COLOR included.
        force_color_output(theme == Theme::Colored);
        enable_raw_mode()?;
        let screen = execute!(io::stdout(), EnterAlternateScreen).and_then(|()| {
            let out = BufWriter::with_capacity(BUFFER, io::stdout());
            Terminal::new(CrosstermBackend::new(out))
        });
        match screen {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Returns its area.
    pub(super) fn area(&self) -> io::Result<Rect> {
        let Size { width, height } = self.terminal.size()?;
        Ok(Rect::new(0, 0, width, height))
    }

    /// Returns the terminal.
    pub(super) const fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<BufWriter<Stdout>>> {
        &mut self.terminal
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal, as far as it is still there.
fn restore() {
    let _gone: io::Result<()> = disable_raw_mode();
    let mut out = io::stdout();
    let _gone: io::Result<()> =
        execute!(out, LeaveAlternateScreen, Show).and_then(|()| out.flush());
}

/// Lets a panic restore the terminal before it is reported: on the other screen nobody would see the report.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
    });
}
