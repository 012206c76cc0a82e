//! The screen: a function of the state and of the area. Texts of agents are escaped.

mod header;
mod table;
mod text;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
};

use super::state::{Page, State};

/// Whether there are colours. Without them states differ by bold and reversed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    /// With colours.
    Colored,
    /// Without.
    Plain,
}

impl Theme {
    fn foreground(self, color: Color) -> Style {
        match self {
            Self::Colored => Style::new().fg(color),
            Self::Plain => Style::new(),
        }
    }

    /// Returns the style of what is wrong.
    fn bad(self) -> Style {
        self.foreground(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Returns the style of what may be wrong.
    fn doubtful(self) -> Style {
        self.foreground(Color::Yellow)
    }

    /// Returns the style of what is right.
    fn good(self) -> Style {
        self.foreground(Color::Green)
    }
}

/// The style of titles and of the selected row.
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// The style of words that matter.
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The parts of the screen.
#[derive(Clone, Copy, Debug)]
struct Parts {
    header: Rect,
    body: Rect,
    footer: Rect,
}

impl Parts {
    /// The body gets what the others leave, and has at least two lines: on a small screen the header is cut.
    fn of(area: Rect, state: &State) -> Self {
        let wanted = header::height(state, area.height);
        let footer = u16::from(area.height > 3);
        let header = wanted.min(area.height.saturating_sub(footer + 2));
        let [header, body, footer] = Layout::vertical([
            Constraint::Length(header),
            Constraint::Fill(1),
            Constraint::Length(footer),
        ])
        .areas(area);
        Self {
            header,
            body,
            footer,
        }
    }
}

/// Returns how many rows of the table are on the screen.
pub(super) fn rows(area: Rect, state: &State) -> u16 {
    // Less the line of titles.
    Parts::of(area, state).body.height.saturating_sub(1)
}

/// Returns by how many lines the details can be scrolled.
pub(super) fn details_limit(area: Rect, state: &State) -> u16 {
    let lines = u16::try_from(text::details(state).len()).unwrap_or(u16::MAX);
    lines.saturating_sub(Parts::of(area, state).body.height)
}

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame, state: &State, theme: Theme) {
    let parts = Parts::of(frame.area(), state);
    header::draw(frame, parts.header, state, theme);
    match state.page {
        Page::Table | Page::Filter => table::draw(frame, parts.body, state, theme),
        Page::Help => text::draw_help(frame, parts.body),
        Page::Details(line) => text::draw_details(frame, parts.body, state, line),
    }
    text::draw_footer(frame, parts.footer, state);
}

#[cfg(test)]
mod tests;
