//! The keys, everything about one child, and the last line.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{BOLD, REVERSED};
use crate::{
    commands::{
        children::details as properties,
        top::{
            column::Column,
            input::KEYS,
            rates::shown,
            state::{Page, State},
        },
    },
    protocol::{LinkRates, Rates, ShownChild, TopChild},
    text::printable_start,
};

/// Longest line, in characters.
const LONGEST: usize = 512;

/// Draws the keys.
pub(super) fn draw_help(frame: &mut Frame, area: Rect) {
    let mut lines = vec![Line::styled("Keys", BOLD)];
    for (key, text) in KEYS {
        lines.push(Line::from(vec![
            Span::styled(format!("  {key:<16}"), BOLD),
            Span::raw(text),
        ]));
    }
    lines.push(Line::styled("Sort by", BOLD));
    let columns: Vec<_> = Column::ALL
        .iter()
        .map(|column| format!("{} {:<13}", column.key(), column.title()))
        .collect();
    for columns in columns.chunks(4) {
        lines.push(Line::raw(format!("  {}", columns.join(" "))));
    }
    lines.push(Line::raw(
        "  Columns without space are left out. PACKETS/s and BYTES/s need --fresh.",
    ));
    lines.push(Line::raw(
        "  ! before a child: another owner claims one of its addresses",
    ));
    frame.render_widget(Paragraph::new(lines), area);
}

/// Returns the lines about the selected child.
pub(super) fn details(state: &State) -> Vec<String> {
    let Some(row) = state.selected() else {
        return Vec::new();
    };
    let TopChild {
        agent,
        parent,
        child,
        conflicts,
        per_second,
    } = row;
    let text = properties(&[ShownChild {
        agent: *agent,
        parent: parent.clone(),
        child: child.clone(),
    }]);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let mut property = |key: &str, value: String| lines.push(format!("  {key:<10} {value}"));
    let rate = |of: fn(&Rates) -> f64| shown(per_second.as_ref().map(of));
    property(
        "per second",
        format!(
            "{} answered, {} hairpinned, {} redirected, {} refused",
            rate(|of| of.answered),
            rate(|of| of.hairpinned),
            rate(|of| of.redirected),
            rate(|of| of.refused)
        ),
    );
    if let Some(LinkRates {
        rx_packets,
        rx_bytes,
        tx_packets,
        tx_bytes,
    }) = per_second.and_then(|of| of.link)
    {
        let of = |packets, bytes| {
            let (packets, bytes) = (shown(Some(packets)), shown(Some(bytes)));
            format!("{packets} packets, {bytes} bytes per second")
        };
        property("rx now", of(rx_packets, rx_bytes));
        property("tx now", of(tx_packets, tx_bytes));
    }
    for conflict in conflicts {
        let rival = &conflict.rival;
        let owners = [&rival.interface, &rival.peer, &rival.mac];
        let owners: Vec<_> = owners.into_iter().flatten().cloned().collect();
        property(
            "conflict",
            format!(
                "{} {}: {}",
                conflict.address,
                conflict.kind,
                owners.join(" ")
            ),
        );
    }
    lines
}

/// Draws everything about the selected child, from this line on.
pub(super) fn draw_details(frame: &mut Frame, area: Rect, state: &State, line: u16) {
    let lines = details(state);
    let lines = lines.iter().enumerate().map(|(index, line)| {
        let text = printable_start(line, LONGEST);
        Line::styled(text, if index == 0 { BOLD } else { Style::new() })
    });
    let lines: Vec<_> = lines.collect();
    frame.render_widget(Paragraph::new(lines).scroll((line, 0)), area);
}

/// Draws the last line: the filter while it is typed, or the keys that matter.
pub(super) fn draw_footer(frame: &mut Frame, area: Rect, state: &State) {
    let filter = printable_start(&state.filter, LONGEST);
    let line = match state.page {
        Page::Filter => Line::from(vec![
            Span::styled("filter: ", BOLD),
            Span::raw(filter),
            Span::styled(" ", REVERSED),
            Span::raw("  Enter keep  Esc remove"),
        ]),
        Page::Help => Line::styled("q quit  ? back", REVERSED),
        Page::Details(_) => Line::styled("q quit  Enter back  j/k scroll  p pause", REVERSED),
        Page::Table => {
            let all = state.measured.children.len();
            let mut text = format!("{} of {all} children", state.shown().len());
            if !filter.is_empty() {
                text = format!("{text} match `{filter}`");
            }
            let keys = "q quit  ? help  / filter  p pause  Enter details";
            Line::from(vec![
                Span::raw(text),
                Span::raw("  "),
                Span::styled(keys, REVERSED),
            ])
        }
    };
    frame.render_widget(line, area);
}
