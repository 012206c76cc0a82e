//! The header: agents, syncs, parents, and how many requests were answered lately.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, RenderDirection, Sparkline},
};

use super::{BOLD, REVERSED, Theme};
use crate::{
    commands::{
        agents::NONE_RUNS,
        top::{
            rates::shown,
            state::{Age, State, SyncHealth},
        },
    },
    protocol::{ParentState, TopParent},
    text::{counted, printable, printable_start},
};

/// At most this part of the screen is for parents.
const SHARE: u16 = 5;
/// On screens of so many lines the sparkline has three lines.
const TALL: u16 = 40;
/// Longest text of an agent in a line, in characters.
const LONGEST: usize = 200;

/// Returns the height of the header on a screen of this height.
pub(super) fn height(state: &State, screen: u16) -> u16 {
    let parents = u16::try_from(parents(state).count()).unwrap_or(u16::MAX);
    2 + problems(state) + parents.min(limit(screen)) + sparkline(screen)
}

fn limit(screen: u16) -> u16 {
    (screen / SHARE).max(1)
}

const fn sparkline(screen: u16) -> u16 {
    if screen >= TALL { 3 } else { 1 }
}

fn problems(state: &State) -> u16 {
    u16::from(!state.notes.problems.is_empty())
}

fn parents(state: &State) -> impl Iterator<Item = &TopParent> {
    state.measured.agents.iter().flat_map(|of| &of.parents)
}

/// Draws the header.
pub(super) fn draw(frame: &mut Frame, area: Rect, state: &State, theme: Theme) {
    let screen = frame.area().height;
    let [title, syncs, problem, of_parents, history] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(problems(state)),
        Constraint::Fill(1),
        Constraint::Length(sparkline(screen)),
    ])
    .areas(area);
    frame.render_widget(title_line(state), title);
    frame.render_widget(sync_line(state, theme), syncs);
    if let Some(first) = state.notes.problems.first() {
        let more = match state.notes.problems.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let text = format!("{}{more}", printable_start(first, LONGEST));
        frame.render_widget(Line::styled(text, theme.bad()), problem);
    }
    let lines = parent_lines(state, usize::from(of_parents.height), theme);
    frame.render_widget(Paragraph::new(lines), of_parents);
    draw_history(frame, history, state, theme);
}

fn title_line(state: &State) -> Line<'_> {
    let agents = state.measured.agents.len();
    let (up, all) = parents(state).fold((0, 0), |(up, all), of| {
        (up + of.children_up, all + of.children)
    });
    let mut spans = vec![
        Span::styled(
            format!("ipvlan top  {}", printable(&state.notes.host)),
            BOLD,
        ),
        Span::raw(format!(
            "  {}, {}, {up} of {} up",
            counted(agents, "agent", "agents"),
            counted(parents(state).count(), "parent", "parents"),
            counted(
                usize::try_from(all).unwrap_or(usize::MAX),
                "child",
                "children"
            ),
        )),
    ];
    if state.is_paused {
        spans.extend([Span::raw("  "), Span::styled(" paused ", REVERSED)]);
    }
    Line::from(spans)
}

fn sync_line(state: &State, theme: Theme) -> Line<'static> {
    if state.measured.agents.is_empty() {
        return Line::styled(NONE_RUNS, theme.bad());
    }
    let SyncHealth {
        syncs,
        failed,
        error,
        age,
    } = state.sync_health();
    let age = match age {
        Some(Age::Exactly(age)) => format!(", last {} s ago", age.as_secs()),
        Some(Age::MoreThan(age)) => format!(", last more than {} s ago", age.as_secs()),
        None => String::new(),
    };
    let mut spans = vec![Span::raw(format!("syncs {syncs}{age}, "))];
    let style = if failed > 0 {
        theme.doubtful()
    } else {
        Style::new()
    };
    spans.push(Span::styled(format!("{failed} failed"), style));
    if let Some(error) = error {
        let text = format!(", error: {}", printable_start(&error, LONGEST));
        spans.push(Span::styled(text, theme.bad()));
    }
    Line::from(spans)
}

fn parent_lines(state: &State, height: usize, theme: Theme) -> Vec<Line<'_>> {
    let all = parents(state).count();
    let shown = if all > height {
        height.saturating_sub(1)
    } else {
        all
    };
    let mut lines: Vec<_> = parents(state)
        .take(shown)
        .map(|of| parent_line(of, theme))
        .collect();
    if shown < all && height > 0 {
        let more = counted(all - shown, "more parent", "more parents");
        lines.push(Line::raw(more));
    }
    lines
}

fn parent_line(parent: &TopParent, theme: Theme) -> Line<'_> {
    let TopParent {
        name,
        state,
        reason,
        children,
        children_up,
        conflicts,
        answered_per_second,
    } = parent;
    let style = if *state == ParentState::Ready {
        theme.good()
    } else if *state == ParentState::Degraded {
        theme.bad()
    } else {
        theme.doubtful()
    };
    let mut spans = vec![
        Span::styled(printable_start(name, LONGEST), BOLD),
        Span::raw("  "),
        Span::styled(printable(&state.to_string()).to_string(), style),
        Span::raw(format!(
            "  {children_up} of {children} up  {} answered/s",
            shown(*answered_per_second)
        )),
    ];
    if *conflicts > 0 {
        let conflicts = usize::try_from(*conflicts).unwrap_or(usize::MAX);
        let text = format!("  {}", counted(conflicts, "conflict", "conflicts"));
        spans.push(Span::styled(text, theme.bad()));
    }
    if let Some(reason) = reason {
        spans.push(Span::raw(format!("  {}", printable_start(reason, LONGEST))));
    }
    Line::from(spans)
}

fn draw_history(frame: &mut Frame, area: Rect, state: &State, theme: Theme) {
    let label = format!("answered/s {:>6} ", shown(Some(state.answered())));
    let width = u16::try_from(label.len()).unwrap_or(u16::MAX);
    let [before, bars] =
        Layout::horizontal([Constraint::Length(width), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::raw(label), before);
    // The newest is on the right.
    let newest = state.history().rev();
    let rates = newest.take(usize::from(bars.width)).collect::<Vec<_>>();
    let line = Sparkline::default()
        .data(rates)
        .direction(RenderDirection::RightToLeft)
        .style(theme.good());
    frame.render_widget(line, bars);
}
