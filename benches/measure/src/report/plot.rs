//! Bars as SVG: one for each figure, with a thin line from the smallest to the largest value.

use std::fmt::Write as _;

use super::{number, of_one_unit};
use crate::figure::Whose;
use crate::parts::Measured;

const WIDTH: f64 = 820.0;
const LABELS: f64 = 330.0;
const BARS: f64 = 370.0;
const ROW: f64 = 28.0;
const TOP: f64 = 44.0;

/// The figures that share the first one's unit.
pub(super) fn bars(measured: &Measured) -> String {
    let figures = of_one_unit(measured);
    let largest = figures.iter().map(|figure| figure.spread().1).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let height = TOP + ROW * figures.len() as f64 + 10.0;
    let unit = figures.first().map_or("", |figure| figure.unit.as_str());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"16\" fill=\"#222222\">{}: {}</text>\n",
        escaped(&measured.title),
        escaped(unit)
    );
    for (row, figure) in figures.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let (middle, (least, most)) = (top + ROW / 2.0, figure.spread());
        let at = |value: f64| LABELS + BARS * value / largest;
        let color = match figure.whose {
            Whose::Chancery => "#1f6f8b",
            Whose::Limit => "#b8b8b8",
            Whose::Peer => "#d08c40",
        };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222222\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{color}\"/>\n\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"#222222\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222222\">{}</text>",
            LABELS - 8.0,
            middle + 4.5,
            escaped(&figure.what),
            top + 4.0,
            at(figure.median()) - LABELS,
            ROW - 8.0,
            at(least),
            at(most),
            at(most) + 8.0,
            middle + 4.5,
            number(figure.median()),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
