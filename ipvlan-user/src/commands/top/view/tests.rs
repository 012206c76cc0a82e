use std::time::Duration;

use insta::{Settings, assert_snapshot};
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

use super::*;
use crate::{
    cli::FamilyArgs,
    commands::top::{
        column::Column,
        rates::{LinkCounters, Measured, measure},
        samples::{CHILDREN, Sample, agent, agent_times},
        state::{Action, Notes},
    },
    protocol::{Agent, ParentState},
};

const SECOND: Duration = Duration::from_secs(1);
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

fn notes() -> Notes {
    Notes {
        host: "node1".to_owned(),
        ..Notes::default()
    }
}

/// The state after measurements of these answers, a second apart.
fn state_of(answers: Vec<Vec<Agent>>, links: LinkCounters) -> State {
    let mut state = State::new(FamilyArgs::default(), links);
    let mut before = None;
    for (at, agents) in (1..).zip(answers) {
        let agents = agents.into_iter().map(|agent| (agent.pid, agent)).collect();
        let (measured, counted) = measure(agents, SECOND * at, before.as_ref(), links);
        before = Some(counted);
        state.update(measured, notes(), SECOND * at);
    }
    state
}

/// Four children whose rates have grown for some seconds.
fn busy(links: LinkCounters) -> State {
    let factors = [1, 2, 4, 5, 8, 13, 14, 18, 20, 21];
    state_of(
        factors.map(|factor| vec![agent_times(factor)]).into(),
        links,
    )
}

fn screen(state: &State, (width, height): (u16, u16), theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, theme)).unwrap();
    terminal.backend().buffer().clone()
}

/// The lines of a screen, without the spaces at their ends.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|cells| {
        let mut line = String::new();
        let mut covered = 0;
        for cell in cells {
            // A wide character covers the cell on its right.
            if covered == 0 {
                line += cell.symbol();
                covered = ratatui::text::Span::raw(cell.symbol()).width().max(1);
            }
            covered -= 1;
        }
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[track_caller]
fn assert_screen(name: &str, state: &State) {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for size in SIZES {
            let name = format!("{name}_{}x{}", size.0, size.1);
            assert_snapshot!(name, text(&screen(state, size, Theme::Plain)));
        }
    });
}

#[test]
fn screens_are_the_published_ones() {
    let mut state = busy(LinkCounters::Fresh);
    assert_screen("children", &state);
    state.apply(Action::Sort(Column::Address), 9);
    assert_screen("sorted", &state);
    state.apply(Action::Move(2), 9);
    state.apply(Action::Details, 9);
    assert_screen("details", &state);
    state.apply(Action::Help, 9);
    assert_screen("help", &state);
}

#[test]
fn the_screen_in_the_documents_is_the_first_one() {
    let state = busy(LinkCounters::Fresh);
    let shown = text(&screen(&state, SIZES[0], Theme::Plain));
    let documented = include_str!("../../../../../docs/top.md");
    assert!(
        documented.contains(&format!("```text\n{shown}```\n")),
        "{shown}"
    );
}

#[test]
fn what_is_wrong_is_on_the_screen() {
    let mut degraded = agent_times(2);
    degraded.sync.failed = 3;
    degraded.sync.error = Some("dump of links: No buffer space available".to_owned());
    degraded.parents[0].state = ParentState::Waiting.into();
    degraded.parents[0].reason = Some("there is no interface `ens34`".to_owned());
    let mut state = state_of(vec![vec![degraded]], LinkCounters::Kept);
    state.notes.problems = vec![
        "/run/ipvlan/7.sock: the agent with pid 7 does not answer".to_owned(),
        "no agent serves `ens35`".to_owned(),
    ];
    state.apply(Action::Pause, 9);
    let shown = text(&screen(&state, (120, 24), Theme::Colored));
    for expected in [
        "the agent with pid 7 does not answer (and 1 more)",
        "3 failed, error: dump of links: No buffer space available",
        "ens34  waiting  3 of 4 up",
        "there is no interface `ens34`",
        "children up   paused\n",
        "! cni-5f3a90d2",
    ] {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    state.update(Measured::default(), notes(), SECOND * 9);
    let shown = text(&screen(&state, (80, 24), Theme::Colored));
    assert!(shown.contains("\nno agent is running\n"), "{shown}");
}

#[test]
fn without_colours_the_screen_has_none_and_the_same_text() {
    let state = busy(LinkCounters::Kept);
    let plain = screen(&state, (80, 24), Theme::Plain);
    let colored = screen(&state, (80, 24), Theme::Colored);
    assert_eq!(text(&plain), text(&colored));
    let has_color = |of: &Buffer| of.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(!has_color(&plain) && has_color(&colored));
}

#[test]
fn what_fits_is_shown_on_any_screen() {
    let mut state = busy(LinkCounters::Fresh);
    for page in [
        Action::Back,
        Action::Details,
        Action::Help,
        Action::BeginFilter,
    ] {
        state.apply(page, 9);
        for width in [0, 1, 2, 3, 7, 20, 40, 79, 500] {
            for height in [0, 1, 2, 3, 4, 5, 8, 12, 100] {
                screen(&state, (width, height), Theme::Colored);
                rows(Rect::new(0, 0, width, height), &state);
            }
        }
    }
    state.apply(Action::Back, 9);
    let shown = text(&screen(&state, (30, 6), Theme::Plain));
    assert!(shown.contains("NETNS") && shown.contains("web"), "{shown}");
}

#[test]
fn the_selected_row_is_visible_among_many() {
    let children: Vec<_> = (0..5000)
        .map(|_| Sample {
            netns: "web",
            ..CHILDREN[0]
        })
        .collect();
    let mut state = state_of(vec![vec![agent(&children)]], LinkCounters::Kept);
    let area = Rect::new(0, 0, 80, 24);
    let page = rows(area, &state);
    for action in [
        Action::Last,
        Action::Turn(-3),
        Action::Move(2),
        Action::First,
    ] {
        state.apply(action, page);
        let shown = screen(&state, (80, 24), Theme::Plain);
        // Titles, the footer and the row.
        let is_reversed = |y: u16| {
            let cell = &shown[(3, y)];
            cell.modifier.contains(Modifier::REVERSED)
        };
        let body = Parts::of(area, &state).body;
        let reversed = (body.y + 1..body.bottom()).filter(|y| is_reversed(*y));
        assert_eq!(reversed.count(), 1, "{action:?}");
    }
}

/// A text that an agent controls is in every place.
fn hostile(text: &str) -> State {
    let mut agent = agent_times(2);
    agent.sync.error = Some(text.to_owned());
    let parent = &mut agent.parents[0];
    text.clone_into(&mut parent.name);
    parent.reason = Some(text.to_owned());
    for child in &mut parent.children {
        text.clone_into(&mut child.name);
        child.netns.names = vec![text.to_owned()];
        child.reason = Some(text.to_owned());
        child.label = Some(text.to_owned());
        for address in &mut child.addresses {
            text.clone_into(&mut address.address);
        }
    }
    let mut state = state_of(vec![vec![agent]], LinkCounters::Fresh);
    state.notes.problems = vec![text.to_owned()];
    state.filter = text.to_owned();
    state
}

#[track_caller]
fn assert_harmless(name: &str) {
    let mut state = hostile(name);
    for action in [Action::Keep, Action::Back, Action::Details] {
        state.apply(action, 9);
        let buffer = screen(&state, (80, 24), Theme::Colored);
        for cell in &buffer.content {
            let symbol = cell.symbol();
            let is_bad = |of: char| {
                of.is_control() || ('\u{202a}'..='\u{202e}').contains(&of) || of == '\u{2028}'
            };
            assert!(!symbol.contains(is_bad), "{symbol:?} of {name:?}");
        }
        // Each row of cells is as wide as the screen.
        for line in text(&buffer).lines() {
            assert!(ratatui::text::Span::raw(line).width() <= 80, "{line}");
        }
    }
}

#[test]
fn names_control_neither_the_terminal_nor_the_columns() {
    for name in [
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "a\nb\r\tc\0",
        "\u{9b}31m",
        "\u{202e}\u{2066}evil",
        "日本語の名前がとても長いコンテナ",
        "שלום עולם",
        "e\u{301}\u{200d}\u{fe0f}👩‍👩‍👧‍👦🇩🇪",
        &"x".repeat(1 << 16),
    ] {
        assert_harmless(name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_name_is_drawn_within_its_cells(name in any::<String>()) {
        assert_harmless(&name);
    }
}
