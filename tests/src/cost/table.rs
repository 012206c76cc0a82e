//! The measurements, for people: as they are, and without the floor.

use std::fmt::Write as _;

use super::{Answer, Row, price::Price};
use crate::bpf::Hook;

/// Both tables.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = "guest instructions per request, generator included\n".to_owned();
    line(
        &mut text,
        "",
        ["floor TC", "floor XDP", "kernel", "by TC", "by XDP"].map(str::to_owned),
    );
    for row in rows {
        let [tc_floor, xdp_floor] = row.floors;
        let [tc, xdp] = row.ours;
        let prices = [tc_floor, xdp_floor, row.kernel, tc, xdp];
        line(&mut text, row.name, prices.map(shown));
    }
    text += "the answer alone: what is beyond the floor, at the least\n";
    line(
        &mut text,
        "",
        ["kernel", "by TC", "ratio", "kernel", "by XDP", "ratio"].map(str::to_owned),
    );
    for row in rows {
        let [tc, xdp] = [Hook::Tc, Hook::Xdp].map(|hook| words(&row.answer(hook)));
        let [kernel, ours, ratio] = tc;
        let [kernel_beyond_xdp, ours_by_xdp, ratio_by_xdp] = xdp;
        line(
            &mut text,
            row.name,
            [
                kernel,
                ours,
                ratio,
                kernel_beyond_xdp,
                ours_by_xdp,
                ratio_by_xdp,
            ],
        );
    }
    text
}

fn words(answer: &Answer) -> [String; 3] {
    [
        format!("{:.0}", answer.kernel),
        format!("{:.0}", answer.ours),
        format!("{:.3}", answer.ratio()),
    ]
}

/// One number if all batches cost the same.
fn shown(price: Price) -> String {
    let [least, most] = [price.least, price.most].map(|cost| format!("{cost:.0}"));
    if least == most {
        least
    } else {
        format!("{least}–{most}")
    }
}

fn line<const N: usize>(text: &mut String, name: &str, words: [String; N]) {
    // Writing to a string cannot fail.
    let _written = write!(text, "{name:<21}");
    for word in words {
        let _written = write!(text, "{word:>13}");
    }
    text.push('\n');
}
