//! Pictures of a report.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::{
        ChartBuilder, Circle, DrawingArea, IntoDrawingArea, IntoFont, IntoLogRange, LineSeries,
        PathElement, RGBColor, Rectangle, SVGBackend, SeriesLabelPosition, Text, WHITE,
    },
    style::{BLACK, Color},
};

use super::report::{Report, short};

const SIZE: (u32, u32) = (860, 460);
const FONT: &str = "sans-serif";
/// Told apart by those who do not see colours as others do, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Values over the number of children.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A picture, and what it shows: name of the file, title, unit, and rows by path and variant.
struct Picture {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    lines: &'static [(&'static str, &'static str)],
}

/// All that are over numbers of children.
const PICTURES: [Picture; 3] = [
    Picture {
        file: "broadcast.svg",
        title: "One request into a parent of l2 children",
        unit: "guest instructions",
        lines: &[
            ("broadcast ARP for an l2 child", "no agent"),
            ("broadcast ARP for an l2 child", "agent"),
            ("multicast NS to a group of all l2 children", "no agent"),
            ("multicast NS to a group of all l2 children", "agent"),
        ],
    },
    Picture {
        file: "children.svg",
        title: "A packet from the LAN to one of many l3 children",
        unit: "guest instructions",
        lines: &[
            ("RX, LAN to one of many l3 children", "no agent"),
            ("RX, LAN to one of many l3 children", "agent"),
        ],
    },
    Picture {
        file: "lookup.svg",
        title: "Programs by number of children, beyond an empty program",
        unit: "ns",
        lines: &[
            ("IPv4 to a child", "parent_ingress_demux"),
            ("IPv6 to a child", "parent_ingress_demux"),
            ("IPv4 host to child", "parent_egress"),
            ("ARP answered", "parent_ingress"),
            ("NS answered", "parent_ingress"),
            ("ARP answered", "parent_xdp"),
        ],
    },
];

/// The ways that are compared with what people use instead.
const WAYS: [&str; 3] = [
    "RX, LAN to a child's socket",
    "TX, a child's socket to LAN",
    "child to child",
];

/// Draws what `report` has rows for; gives the names of the files.
pub(super) fn draw(report: &Report, directory: &Path) -> Result<Vec<String>> {
    let mut drawn = Vec::new();
    for picture in &PICTURES {
        let lines: Vec<_> = picture
            .lines
            .iter()
            .map(|(path, variant)| line(report, path, variant))
            .filter(|line| line.points.len() > 1)
            .collect();
        if lines.is_empty() {
            continue;
        }
        let title = format!("{}, Linux {}", picture.title, report.kernel);
        let file = directory.join(picture.file);
        let canvas = canvas(&file)?;
        over_children(&canvas, &title, picture.unit, &lines).map_err(|error| failed(&error))?;
        drawn.push(picture.file.to_owned());
    }
    for (number, path) in WAYS.iter().enumerate() {
        let rows: Vec<_> = report
            .rows
            .iter()
            .filter(|row| row.path == *path)
            .map(|row| (row.variant.clone(), row.value))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let name = format!("way{}.svg", number + 1);
        let title = format!("{path}: guest instructions, Linux {}", report.kernel);
        let file = directory.join(&name);
        let canvas = canvas(&file)?;
        side_by_side(&canvas, &title, &rows).map_err(|error| failed(&error))?;
        drawn.push(name);
    }
    Ok(drawn)
}

fn failed(error: &impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

fn canvas(file: &Path) -> Result<Canvas<'_>> {
    let canvas = SVGBackend::new(file, SIZE).into_drawing_area();
    canvas.fill(&WHITE).map_err(|error| failed(&error))?;
    Ok(canvas)
}

fn line(report: &Report, path: &str, variant: &str) -> Line {
    let rows = report.rows.iter();
    Line {
        name: format!("{path}: {variant}"),
        points: rows
            .filter(|row| row.path == path && row.variant == variant)
            .map(|row| (f64::from(row.children), row.value))
            .collect(),
    }
}

/// The smallest and the largest of what `of` gives of all points.
fn range(lines: &[Line], of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = lines.iter().flat_map(|line| line.points.iter().map(&of));
    values.fold((f64::INFINITY, 0.0), |(least, most), value| {
        (least.min(value), most.max(value))
    })
}

type Drawn<'a> = Result<(), plotters::drawing::DrawingAreaErrorKind<std::io::Error>>;

/// Both axes are logarithmic.
fn over_children<'a>(canvas: &Canvas<'a>, title: &str, unit: &str, lines: &[Line]) -> Drawn<'a> {
    let (few, many) = range(lines, |point| point.0);
    let (least, most) = range(lines, |point| point.1);
    let mut chart = ChartBuilder::on(canvas)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(
            (few..many).log_scale(),
            (least.max(1.0) / 1.5..most * 6.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("children")
        .y_desc(unit)
        .x_label_formatter(&|value| short(value.round()))
        .y_label_formatter(&|value| short(value.round()))
        .label_style((FONT, 13))
        .draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points = line.points.clone();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(line.name.clone())
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(
            points
                .into_iter()
                .map(|point| Circle::new(point, 3, colour.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 13))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    canvas.present()
}

/// A bar for each, from zero, with its name on it.
fn side_by_side<'a>(canvas: &Canvas<'a>, title: &str, rows: &[(String, f64)]) -> Drawn<'a> {
    let most = rows.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let places = (1_u32..).map(f64::from).take(rows.len());
    let high = places.clone().fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(canvas)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(30)
        .build_cartesian_2d(0.0..most * 1.02, high..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|value| short(value.round()))
        .label_style((FONT, 13))
        .draw()?;
    for (place, (name, value)) in places.zip(rows) {
        let colour = COLOURS[usize::from(name.contains("agent"))];
        chart.draw_series([Rectangle::new(
            [(0.0, place - 0.9), (*value, place - 0.1)],
            colour.filled(),
        )])?;
        let text = format!("{name}  {}", short(value.round()));
        let style = (FONT, 14).into_font().color(&WHITE);
        chart.draw_series([Text::new(text, (most * 0.01, place - 0.65), style)])?;
    }
    canvas.present()
}
