//! The table of children.

use ratatui::{
    Frame,
    layout::{Alignment, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
};
use unicode_truncate::{Alignment as Side, UnicodeTruncateStr as _};

use super::{BOLD, REVERSED, Theme};
use crate::{
    commands::top::{
        column::{Column, fitting},
        state::State,
    },
    protocol::{ChildState, TopChild},
    text::printable_start,
};

/// Longest text of a cell, in characters.
const LONGEST: usize = 128;
/// Before each row: whether the child has a conflict.
const MARK: u16 = 2;

/// Draws the titles, and the rows around the selected one.
pub(super) fn draw(frame: &mut Frame, area: Rect, state: &State, theme: Theme) {
    let height = usize::from(area.height.saturating_sub(1));
    let selected = state.position();
    let first = first_row(selected.unwrap_or(0), state.shown().len(), height);
    let rows: Vec<_> = state.shown().skip(first).take(height).collect();
    let cell =
        |column: Column, row: &TopChild| printable_start(&column.cell(row, state.family), LONGEST);
    let longest = |column| {
        let widths = rows.iter().map(|row| Span::raw(cell(column, row)).width());
        u16::try_from(widths.max().unwrap_or(0)).unwrap_or(u16::MAX)
    };
    let mut parents = state.measured.agents.iter().flat_map(|of| &of.parents);
    let has_parents = parents.nth(1).is_some();
    let width = area.width.saturating_sub(MARK);
    let columns = fitting(width, state.links, has_parents, longest);
    let mut lines = vec![titles(&columns, state)];
    for (index, row) in rows.iter().enumerate() {
        let is_selected = selected == Some(first + index);
        let mark = if row.conflicts.is_empty() { "  " } else { "! " };
        let mut spans = vec![Span::styled(mark, theme.bad())];
        for (at, &(column, width)) in columns.iter().enumerate() {
            if at > 0 {
                spans.push(Span::raw(" "));
            }
            let text = padded(&cell(column, row), width, column);
            spans.push(Span::styled(text, style(column, row, theme)));
        }
        let line = Line::from(spans);
        lines.push(if is_selected {
            line.patch_style(REVERSED)
        } else {
            line
        });
    }
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        frame.render_widget(line, Rect::new(area.x, y, area.width, 1));
    }
    if rows.is_empty() && area.height > 1 {
        let text = match (state.measured.agents.is_empty(), state.filter.is_empty()) {
            (true, _) => "",
            (false, true) => "no children",
            (false, false) => "no child matches the filter",
        };
        let line = Line::raw(text).alignment(Alignment::Center);
        frame.render_widget(line, Rect::new(area.x, area.y + 1, area.width, 1));
    }
}

/// Returns the first row on the screen: the selected one is in the middle, except near the ends.
fn first_row(selected: usize, rows: usize, height: usize) -> usize {
    let middle = selected.saturating_sub(height / 2);
    middle.min(rows.saturating_sub(height))
}

fn titles(columns: &[(Column, u16)], state: &State) -> Line<'static> {
    let mut spans = vec![Span::styled("  ", BOLD)];
    for (at, &(column, width)) in columns.iter().enumerate() {
        if at > 0 {
            spans.push(Span::styled(" ", BOLD));
        }
        let text = padded(column.title(), width, column);
        let style = if column == state.column {
            BOLD.patch(REVERSED)
        } else {
            BOLD
        };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn style(column: Column, row: &TopChild, theme: Theme) -> Style {
    if column != Column::State {
        return Style::new();
    }
    let state = &row.child.state;
    if *state == ChildState::Answering {
        theme.good()
    } else if *state == ChildState::Refused {
        theme.bad().remove_modifier(Modifier::BOLD)
    } else {
        theme.doubtful()
    }
}

/// Returns a text with this width on the screen: with spaces on the side that the column has them, or cut, with `…`.
fn padded(text: &str, width: u16, column: Column) -> String {
    let width = usize::from(width);
    let side = if column.is_number() {
        Side::Right
    } else {
        Side::Left
    };
    if Span::raw(text).width() <= width {
        return text.unicode_pad(width, side, true).into_owned();
    }
    let (start, _) = text.unicode_truncate(width.saturating_sub(1));
    let cut = format!("{start}…");
    cut.unicode_pad(width, Side::Left, true).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_width_of_their_column_whatever_is_in_them() {
        for (text, width, shown) in [
            ("web", 5, "web  "),
            ("database", 5, "data…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日… "),
            ("日本語", 6, "日本語"),
            ("", 2, "  "),
            ("web", 0, ""),
        ] {
            let cell = padded(text, width, Column::Netns);
            assert_eq!(
                cell.trim_end_matches('…').len().min(1),
                usize::from(!shown.is_empty())
            );
            if width > 0 {
                assert_eq!(cell, shown);
            }
        }
        assert_eq!(padded("12", 4, Column::Answered), "  12");
    }

    #[test]
    fn selected_row_is_on_the_screen_and_the_screen_is_full() {
        for (selected, rows, height, first) in [
            (0, 0, 5, 0),
            (0, 3, 5, 0),
            (2, 3, 5, 0),
            (0, 100, 5, 0),
            (2, 100, 5, 0),
            (3, 100, 5, 1),
            (50, 100, 5, 48),
            (99, 100, 5, 95),
            (7, 100, 1, 7),
            (7, 100, 0, 7),
        ] {
            let shown = first_row(selected, rows, height);
            assert_eq!(shown, first, "{selected} of {rows} on {height}");
        }
    }
}
