//! Keys of the terminal, and what they do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    column::Column,
    state::{Action, Page},
};

/// The keys that are not those of columns, and what they do, as the help shows them.
pub(super) const KEYS: [(&str, &str); 9] = [
    ("q, Ctrl-C", "quit"),
    (
        "Esc",
        "close what covers the table, remove the filter, or quit",
    ),
    ("p, space", "pause: the agents are not asked"),
    (
        "/",
        "filter by a part of a name, address, state, mode or parent",
    ),
    ("Enter", "show everything about the selected child"),
    ("Up, Down, k, j", "select the row above or below"),
    ("PgUp, PgDn", "move by a screen"),
    ("Home, End, g, G", "move to the first or the last row"),
    ("r", "sort in the other direction"),
];

/// Returns what a key does; none if it does nothing.
pub(super) fn action(page: Page, has_filter: bool, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('h') if page == Page::Filter => Some(Action::Erase),
            _ => None,
        };
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    match page {
        Page::Filter => typed(key.code),
        Page::Help => match key.code {
            KeyCode::Char('q') => Some(Action::Quit),
            KeyCode::Char('?') | KeyCode::Esc | KeyCode::Enter => Some(Action::Back),
            _ => None,
        },
        Page::Details(_) => match key.code {
            KeyCode::Char('q') => Some(Action::Quit),
            KeyCode::Char('?') => Some(Action::Help),
            KeyCode::Char('p' | ' ') => Some(Action::Pause),
            KeyCode::Enter | KeyCode::Esc => Some(Action::Back),
            code => moved(code),
        },
        Page::Table => match key.code {
            KeyCode::Esc if has_filter => Some(Action::Back),
            KeyCode::Char('q') | KeyCode::Esc => Some(Action::Quit),
            KeyCode::Char('?') => Some(Action::Help),
            KeyCode::Char('/') => Some(Action::BeginFilter),
            KeyCode::Char('p' | ' ') => Some(Action::Pause),
            KeyCode::Char('r') => Some(Action::Reverse),
            KeyCode::Enter => Some(Action::Details),
            code => moved(code).or_else(|| sorted(code)),
        },
    }
}

/// Returns what a key does while the filter is typed.
fn typed(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Enter => Some(Action::Keep),
        KeyCode::Esc => Some(Action::Back),
        KeyCode::Backspace => Some(Action::Erase),
        KeyCode::Char(character) if !character.is_control() => Some(Action::Type(character)),
        _ => None,
    }
}

/// Returns the movement of a key.
const fn moved(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Move(-1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Move(1)),
        KeyCode::PageUp => Some(Action::Turn(-1)),
        KeyCode::PageDown => Some(Action::Turn(1)),
        KeyCode::Home | KeyCode::Char('g') => Some(Action::First),
        KeyCode::End | KeyCode::Char('G') => Some(Action::Last),
        _ => None,
    }
}

fn sorted(code: KeyCode) -> Option<Action> {
    let KeyCode::Char(key) = code else {
        return None;
    };
    Column::of_key(key).map(Action::Sort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_does_one_thing_on_each_page() {
        let details = Page::Details(0);
        let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let control = |key| KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
        let char = |key| plain(KeyCode::Char(key));
        for (page, has_filter, key, expected) in [
            (Page::Table, false, char('q'), Some(Action::Quit)),
            (Page::Table, false, control('c'), Some(Action::Quit)),
            (Page::Filter, false, control('c'), Some(Action::Quit)),
            (details, false, control('c'), Some(Action::Quit)),
            (Page::Table, false, plain(KeyCode::Esc), Some(Action::Quit)),
            (Page::Table, true, plain(KeyCode::Esc), Some(Action::Back)),
            (details, false, plain(KeyCode::Esc), Some(Action::Back)),
            (Page::Help, false, plain(KeyCode::Esc), Some(Action::Back)),
            (
                Page::Table,
                false,
                char('a'),
                Some(Action::Sort(Column::Answered)),
            ),
            (
                Page::Table,
                false,
                char('d'),
                Some(Action::Sort(Column::Address)),
            ),
            (Page::Table, false, char('r'), Some(Action::Reverse)),
            (Page::Table, false, char('/'), Some(Action::BeginFilter)),
            (Page::Table, false, char('?'), Some(Action::Help)),
            (Page::Help, false, char('?'), Some(Action::Back)),
            (Page::Table, false, char('p'), Some(Action::Pause)),
            (Page::Table, false, char(' '), Some(Action::Pause)),
            (
                Page::Table,
                false,
                plain(KeyCode::Enter),
                Some(Action::Details),
            ),
            (details, false, plain(KeyCode::Enter), Some(Action::Back)),
            (Page::Table, false, char('j'), Some(Action::Move(1))),
            (details, false, plain(KeyCode::Up), Some(Action::Move(-1))),
            (
                Page::Table,
                false,
                plain(KeyCode::PageDown),
                Some(Action::Turn(1)),
            ),
            (Page::Table, false, char('G'), Some(Action::Last)),
            (Page::Table, false, char('g'), Some(Action::First)),
            // While a filter is typed, letters are letters.
            (Page::Filter, true, char('q'), Some(Action::Type('q'))),
            (Page::Filter, true, char('/'), Some(Action::Type('/'))),
            (Page::Filter, true, char(' '), Some(Action::Type(' '))),
            (Page::Filter, true, char('\u{1b}'), None),
            (
                Page::Filter,
                true,
                plain(KeyCode::Backspace),
                Some(Action::Erase),
            ),
            (Page::Filter, true, control('h'), Some(Action::Erase)),
            (
                Page::Filter,
                true,
                plain(KeyCode::Enter),
                Some(Action::Keep),
            ),
            (Page::Filter, true, plain(KeyCode::Esc), Some(Action::Back)),
            (Page::Filter, true, plain(KeyCode::Up), None),
            (Page::Help, false, char('a'), None),
            (details, false, char('a'), None),
            (Page::Table, false, char('z'), None),
            (Page::Table, false, control('a'), None),
            (
                Page::Table,
                false,
                KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT),
                None,
            ),
        ] {
            assert_eq!(action(page, has_filter, key), expected, "{page:?} {key:?}");
        }
        let mut released = char('q');
        released.kind = KeyEventKind::Release;
        assert_eq!(action(Page::Table, false, released), None);
    }

    #[test]
    fn no_two_columns_have_one_key_and_none_has_a_key_of_the_table() {
        for column in Column::ALL {
            assert_eq!(Column::of_key(column.key()), Some(column));
            let key = KeyEvent::new(KeyCode::Char(column.key()), KeyModifiers::NONE);
            assert_eq!(action(Page::Table, false, key), Some(Action::Sort(column)));
        }
    }
}
