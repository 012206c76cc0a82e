use super::*;

const TABLE: &str = "\
| Rooms of `a/src` | | Uses |
|---|---|---|
| `top` `peer` | what runs | `middle`, `low` |
| `middle` | | `low` |
| `low` | data | |

| Other | |
|---|---|
| `x` | `y` |
";

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let [table] = &tables(TABLE)[..] else {
        panic!("one table");
    };
    let mut rooms = BTreeMap::new();
    for (room, text) in files {
        let path = format!("a/src/{room}.rs");
        rooms.insert((*room).to_owned(), uses(Path::new(&path), text));
    }
    table.faults(&rooms)
}

const TOP: (&str, &str) = ("top", "use crate::{peer::P, middle::{self, M}, low};\n");
const PEER: (&str, &str) = ("peer", "use crate::top::T;\n");
const MIDDLE: (&str, &str) = ("middle", "use crate::low::L;\n");
const LOW: (&str, &str) = ("low", "//! See crate::top.\n");

#[test]
fn rooms_that_keep_to_their_rows_have_no_faults() {
    assert_eq!(faults(&[TOP, PEER, MIDDLE, LOW]), [""; 0]);
    assert_eq!(tables(TABLE)[0].order_faults(), [""; 0]);
}

#[test]
fn a_use_that_the_row_does_not_name_is_a_fault_with_its_line() {
    let low = (
        "low",
        "use std::io;\nuse crate::{\n    middle::{M, N},\n};\n",
    );
    let faults = faults(&[TOP, PEER, MIDDLE, low]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("a/src/low.rs:3: `low` does not use `middle`"),
        "{faults:?}"
    );
}

#[test]
fn a_path_by_super_that_leaves_the_room_is_a_use() {
    let low = ("low", "use super::{middle::M, low::L};\n");
    let faults = faults(&[TOP, PEER, MIDDLE, low]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("a/src/low.rs:1: `low` does not use `middle`"),
        "{faults:?}"
    );
    let rooms = |path: &str, text: &str| -> Vec<String> {
        let uses = uses(Path::new(path), text).into_iter();
        uses.map(|one| one.room).collect()
    };
    let text = "use super::{super::middle::M, own::{O, P}};\nfn f() { super::super::top::g(super::h()) }\n";
    assert_eq!(rooms("a/src/low/part.rs", text), ["middle", "top"]);
    assert_eq!(
        rooms("a/src/low/mod.rs", "use super::middle::M;\n"),
        ["middle"]
    );
    assert_eq!(rooms("a/src/low/part/piece.rs", text), [""; 0]);
}

#[test]
fn a_path_inside_a_line_is_a_fault_unless_it_is_an_item_of_the_root() {
    let low = ("low", "fn f() { crate::low::g(crate::OBJECT); }\n");
    let faults = faults(&[TOP, PEER, MIDDLE, low]);
    assert_eq!(
        faults,
        ["a/src/low.rs:1: `crate::low` inside a line: import it with `use`"]
    );
}

#[test]
fn rows_are_the_rooms_and_the_uses_that_exist() {
    let faults = faults(&[TOP, PEER, ("middle", ""), ("new", "")]);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].starts_with("a/src/new: a room without a row"));
    assert!(faults[1].contains("`middle` does not use `low`"));
    assert!(faults[2].contains("`low` is not in a/src"));
}

#[test]
fn a_row_may_name_later_rooms_only() {
    let circle = TABLE.replace("data | |", "data | `middle`, `gone` |");
    let faults = tables(&circle)[0].order_faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].contains("the row of `low` uses `middle`"));
}

#[test]
fn tests_macros_and_visibilities_are_no_uses() {
    let text = "pub(in crate::a) fn f() {} // crate::b\n$crate::c!();\nmy_crate::d();\n\
                #[cfg(test)]\nmod tests {\n    use crate::e;\n}\n";
    assert_eq!(uses(Path::new("x.rs"), text), []);
}

#[test]
fn this_repository_keeps_its_tables() {
    check().unwrap();
}
