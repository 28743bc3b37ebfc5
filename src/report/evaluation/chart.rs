//! A plot with axes as SVG: linear, logarithmic and normal-deviate axes, lines told apart by colour and
//! by dashes.
//!
//! Colours come from classes, not from attributes, so that one style sheet serves the page and the
//! file, by day and by night. A file carries the sheet itself; in a page it stands once.

use super::super::markup::escaped;
use statrs::distribution::{ContinuousCDF, Normal};
use std::fmt::Write;

/// All plots are so wide, in user units; letters are 11 to 14 units high.
pub(super) const WIDTH: f64 = 480.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
pub(super) const TOP: f64 = 32.0;
const INNER_HEIGHT: f64 = 300.0;
const LEGEND_LINE: f64 = 18.0;

/// Six colours for a white ground and six for a dark one. Of each six, any two differ by at least 20 in
/// CIE 1976 L*a*b*, also as people without red, green or blue cones see them (Machado et al. 2009), and
/// each has a contrast of 3 to 1 and more to its ground.
const BY_DAY: [&str; 6] = ["#2a7fd0", "#e06a00", "#005c3c", "#8a2a74", "#1d2430", "#8a8a8a"];
const BY_NIGHT: [&str; 6] = ["#3b8fe0", "#f0803c", "#50d0a0", "#e79bcf", "#f2f2f2", "#e8d94a"];
/// One more than the colours, so that no two of the first 42 lines look alike.
const DASHES: [&str; 7] = ["none", "7 3", "2 2.5", "9 3 2 3", "14 4", "5 2 2 2 2 2", "1 4"];

/// A finished plot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plot {
    pub title: String,
    /// What there is to see, for those who do not see it.
    pub description: String,
    pub height: f64,
    pub body: String,
}

impl Plot {
    /// For a page that holds [`style`].
    pub fn inline(&self) -> String {
        self.element("", "")
    }

    /// A file of its own.
    pub fn file(&self) -> String {
        let style = format!("<style>{}</style>", style());
        let size = format!(
            " xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\"",
            pixel(self.height)
        );
        let body = format!("{style}<rect class=\"ground\" width=\"100%\" height=\"100%\"/>");
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", self.element(&size, &body))
    }

    fn element(&self, attributes: &str, head: &str) -> String {
        format!(
            "<svg{attributes} class=\"plot\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
             aria-label=\"{}. {}\">{head}<text class=\"title\" x=\"{}\" y=\"18\">{}</text>{}</svg>",
            pixel(self.height),
            escaped(&self.title),
            escaped(&self.description),
            WIDTH / 2.0,
            escaped(&self.title),
            self.body
        )
    }
}

/// The style sheet of all plots.
pub(super) fn style() -> String {
    let mut css = String::from(
        ".plot{font:12px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}\
         .plot text{fill:#1b1d23}.plot .ground{fill:#ffffff}\
         .plot .title{font-size:14px;font-weight:600;text-anchor:middle}\
         .plot .tick{font-size:11px}.plot .quiet,.plot .quiet text{fill:#545966}\
         .plot .halo{paint-order:stroke;stroke:#ffffff;stroke-width:3px;stroke-linejoin:round}\
         .plot .middle{text-anchor:middle}.plot .end{text-anchor:end}\
         .plot .grid{stroke:#e0e2e7;stroke-width:1;fill:none}\
         .plot .frame{stroke:#8b90a0;stroke-width:1;fill:none}\
         .plot .rule{stroke:#545966;stroke-width:1;stroke-dasharray:4 3;fill:none}\
         .plot .line{fill:none;stroke-width:2;stroke-linejoin:round}\
         .plot .bar{fill:none;stroke-width:1.5}.plot .area{stroke:none;fill-opacity:.25}",
    );
    for (i, dash) in DASHES.iter().enumerate() {
        let _ = write!(css, ".plot .d{i}{{stroke-dasharray:{dash}}}");
    }
    let colours = |css: &mut String, colours: &[&str]| {
        for (i, colour) in colours.iter().enumerate() {
            let _ = write!(css, ".plot .c{i}{{stroke:{colour}}}.plot .f{i}{{fill:{colour}}}");
        }
    };
    colours(&mut css, &BY_DAY);
    css += "@media screen and (prefers-color-scheme:dark){.plot text{fill:#e6e8ee}\
            .plot .ground{fill:#15171c}.plot .quiet,.plot .quiet text{fill:#a7adbb}\
            .plot .grid{stroke:#2d313a}.plot .frame{stroke:#767c8c}.plot .rule{stroke:#a7adbb}\
            .plot .halo{stroke:#15171c}";
    colours(&mut css, &BY_NIGHT);
    css + "}"
}

/// Class of fills of a series.
pub(super) fn fill_class(series: usize) -> String {
    format!("f{}", series % BY_DAY.len())
}

/// Class of the colour of strokes of a series.
pub(super) fn colour_class(series: usize) -> String {
    format!("c{}", series % BY_DAY.len())
}

fn line_class(series: usize) -> String {
    format!("line {} d{}", colour_class(series), series % DASHES.len())
}

/// A coordinate, to a hundredth.
pub(super) fn pixel(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// About how wide text is: letters are half as wide as high.
pub(super) fn text_width(text: &str, height: f64) -> f64 {
    0.54 * height * text.chars().count() as f64
}

/// Text that fits, its end cut off where it is too long.
pub(super) fn fitted(text: &str, height: f64, width: f64) -> String {
    if text_width(text, height) <= width {
        return text.to_string();
    }
    let room = (width / (0.54 * height)) as usize;
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Decades are equally long.
    Logarithmic,
    /// By the normal deviate Φ⁻¹ (Martin et al. 1997, "The DET curve in assessment of detection task
    /// performance"): errors of normally distributed scores lie on a straight line.
    Deviate,
}

/// Values from `low` to `high`, both on the scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub title: String,
    pub scale: Scale,
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
}

impl Axis {
    pub fn linear(title: &str, low: f64, high: f64) -> Self {
        Self::new(title, Scale::Linear, low, high, &even_ticks(low, high))
    }

    pub fn new(title: &str, scale: Scale, low: f64, high: f64, ticks: &[f64]) -> Self {
        Self { title: title.into(), scale, low, high, ticks: ticks.to_vec() }
    }

    /// 0 at `low`, 1 at `high`; what the scale does not hold (the logarithm of 0) lies just off it.
    pub fn place(&self, value: f64) -> f64 {
        let place = (self.on_scale(value) - self.on_scale(self.low))
            / (self.on_scale(self.high) - self.on_scale(self.low));
        place.clamp(-0.5, 1.5)
    }

    fn on_scale(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic if value > 0.0 => value.log10(),
            Scale::Deviate if value > 0.0 && value < 1.0 => Normal::standard().inverse_cdf(value),
            Scale::Deviate if value >= 1.0 => f64::INFINITY,
            Scale::Logarithmic | Scale::Deviate => f64::NEG_INFINITY,
        }
    }
}

/// About five round values from `low` to `high`.
pub(super) fn even_ticks(low: f64, high: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let rough = span / 5.0;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * decade);
    let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * decade);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick's label: as many digits as it needs.
pub(super) fn tick_label(value: f64) -> String {
    let rounded = (value * 1e9).round() / 1e9;
    // Adding 0 turns −0 into 0.
    format!("{}", rounded + 0.0).replace('-', "−")
}

/// A plot in the making.
pub(super) struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    /// Clipped to the axes.
    inside: String,
    above: String,
    legend: Vec<(usize, String)>,
}

impl Chart {
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            inside: String::new(),
            above: String::new(),
            legend: Vec::new(),
        }
    }

    /// Where a point lies on the paper.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let width = WIDTH - LEFT - RIGHT;
        (LEFT + width * self.x.place(x), TOP + INNER_HEIGHT * (1.0 - self.y.place(y)))
    }

    /// Straight lines through points.
    pub fn line(&mut self, series: usize, points: &[(f64, f64)]) {
        let mut path = String::new();
        for &(x, y) in points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (x, y) = self.at(x, y);
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{} {}", pixel(x), pixel(y));
        }
        self.path(&line_class(series), &path);
    }

    /// From each point level to the next, then straight up or down to it.
    pub fn steps(&mut self, series: usize, points: &[(f64, f64)]) {
        let path = self.step_path(points);
        self.path(&line_class(series), &path);
    }

    fn step_path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut last: Option<(String, String)> = None;
        for &(x, y) in points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (x, y) = self.at(x, y);
            let here = (pixel(x), pixel(y));
            match &last {
                None => {
                    let _ = write!(path, "M{} {}", here.0, here.1);
                }
                Some(before) => {
                    if before.0 != here.0 {
                        let _ = write!(path, "H{}", here.0);
                    }
                    if before.1 != here.1 {
                        let _ = write!(path, "V{}", here.1);
                    }
                }
            }
            last = Some(here);
        }
        path
    }

    /// Steps with the area between them and the bottom of the axis.
    pub fn filled_steps(&mut self, series: usize, points: &[(f64, f64)]) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let steps = self.step_path(points);
        let (_, floor) = self.at(last.0, self.y.low);
        let (start, _) = self.at(first.0, self.y.low);
        let area = format!("{steps}V{}H{}Z", pixel(floor), pixel(start));
        self.path(&format!("area {}", fill_class(series)), &area);
        self.path(&line_class(series), &steps);
    }

    fn path(&mut self, class: &str, path: &str) {
        if !path.is_empty() {
            let _ = write!(self.inside, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }

    /// An upright bar at `x`, moved aside by some units so that bars of several series stay apart.
    pub fn interval(&mut self, series: usize, x: f64, aside: f64, [low, high]: [f64; 2]) {
        let ((x, bottom), (_, top)) = (self.at(x, low), self.at(x, high));
        let (x, cap) = (x + aside, 2.5);
        let _ = write!(
            self.inside,
            "<path class=\"bar {}\" d=\"M{1} {3}H{2}M{4} {3}V{5}M{1} {5}H{2}\"/>",
            colour_class(series),
            pixel(x - cap),
            pixel(x + cap),
            pixel(top),
            pixel(x),
            pixel(bottom),
        );
    }

    pub fn dot(&mut self, series: usize, x: f64, y: f64) {
        let (x, y) = self.at(x, y);
        let _ = write!(
            self.inside,
            "<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"2.6\"/>",
            fill_class(series),
            pixel(x),
            pixel(y)
        );
    }

    /// A thin dashed line between two points.
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (from, to) = (self.at(from.0, from.1), self.at(to.0, to.1));
        let path = format!("M{} {}L{} {}", pixel(from.0), pixel(from.1), pixel(to.0), pixel(to.1));
        self.path("rule", &path);
    }

    /// Such a line from top to bottom, its name along it.
    pub fn upright_rule(&mut self, x: f64, name: &str) {
        self.rule((x, self.y.low), (x, self.y.high));
        let (x, y) = self.at(x, self.y.high);
        let _ = write!(
            self.above,
            "<text class=\"tick quiet halo end\" transform=\"translate({} {}) rotate(-90)\">{}</text>",
            pixel(x - 3.0),
            pixel(y + 5.0),
            escaped(name)
        );
    }

    /// Small text that ends before a point.
    pub fn label_before(&mut self, (x, y): (f64, f64), text: &str) {
        let (x, y) = self.at(x, y);
        let _ = write!(
            self.above,
            "<text class=\"tick quiet halo end\" x=\"{}\" y=\"{}\">{}</text>",
            pixel(x - 4.0),
            pixel(y),
            escaped(text)
        );
    }

    /// A line of the legend, below the plot.
    pub fn name(&mut self, series: usize, text: &str) {
        self.legend.push((series, text.to_string()));
    }

    pub fn finish(self, description: String) -> Plot {
        let bottom = TOP + INNER_HEIGHT;
        let (right, middle) = (WIDTH - RIGHT, LEFT + (WIDTH - LEFT - RIGHT) / 2.0);
        let mut body = String::new();
        for &tick in &self.x.ticks {
            let x = pixel(self.at(tick, self.y.low).0);
            let _ = write!(
                body,
                "<path class=\"grid\" d=\"M{x} {TOP}V{bottom}\"/>\
                 <text class=\"tick middle\" x=\"{x}\" y=\"{}\">{}</text>",
                bottom + 15.0,
                tick_label(tick)
            );
        }
        for &tick in &self.y.ticks {
            let y = self.at(self.x.low, tick).1;
            let _ = write!(
                body,
                "<path class=\"grid\" d=\"M{LEFT} {0}H{right}\"/>\
                 <text class=\"tick end\" x=\"{1}\" y=\"{2}\">{3}</text>",
                pixel(y),
                LEFT - 5.0,
                pixel(y + 4.0),
                tick_label(tick)
            );
        }
        let (width, height) = (right - LEFT, INNER_HEIGHT);
        let _ = write!(
            body,
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\"/>\
             <text class=\"middle\" x=\"{middle}\" y=\"{}\">{}</text>\
             <text class=\"middle\" transform=\"translate(15 {}) rotate(-90)\">{}</text>",
            bottom + 33.0,
            escaped(&self.x.title),
            TOP + INNER_HEIGHT / 2.0,
            escaped(&self.y.title),
        );
        // An inner svg clips what it holds, without a name that must be unique in a page.
        let _ = write!(
            body,
            "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"{LEFT} {TOP} {width} {height}\">{}</svg>{}",
            self.inside, self.above
        );
        let mut y = bottom + 40.0;
        for (series, text) in &self.legend {
            y += LEGEND_LINE;
            let _ = write!(
                body,
                "<path class=\"{}\" d=\"M{LEFT} {}h34\"/><text x=\"{}\" y=\"{y}\">{}</text>",
                line_class(*series),
                y - 4.0,
                LEFT + 42.0,
                escaped(&fitted(text, 12.0, right - LEFT - 42.0))
            );
        }
        Plot { title: self.title, description, height: y + 10.0, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_put_values_where_they_belong() {
        let log = Axis::new("", Scale::Logarithmic, 1e-4, 1.0, &[]);
        assert!((log.place(1e-2) - 0.5).abs() < 1e-12);
        assert_eq!((log.place(0.0), log.place(1.0)), (-0.5, 1.0));
        // Φ⁻¹(0.1) = −1.281552, Φ⁻¹(0.158655) = −1, Φ⁻¹(0.5) = 0.
        let deviate = Axis::new("", Scale::Deviate, 0.1, 0.9, &[]);
        assert!((deviate.place(0.5) - 0.5).abs() < 1e-12);
        assert!(
            (deviate.place(0.158_655_253_931_457) - (1.281_551_565 - 1.0) / 2.563_103_131).abs()
                < 1e-8
        );
        assert_eq!((deviate.place(0.0), deviate.place(1.0)), (-0.5, 1.5));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |low, high| -> Vec<String> {
            even_ticks(low, high).into_iter().map(tick_label).collect()
        };
        assert_eq!(labels(0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(0.913, 0.988), ["0.92", "0.94", "0.96", "0.98"]);
        assert_eq!(labels(-0.03, 0.05), ["−0.02", "0", "0.02", "0.04"]);
        assert_eq!(labels(0.3, 0.3), ["0.3"]);
    }

    /// Relative luminance and contrast of WCAG 2.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn lines_stand_out_from_their_ground_and_from_one_another() {
        for (ground, colours) in [("#ffffff", BY_DAY), ("#15171c", BY_NIGHT)] {
            for colour in colours {
                let (a, b) = (luminance(ground), luminance(colour));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 3.0, "{colour} on {ground}: {contrast}");
            }
        }
        let looks: std::collections::BTreeSet<String> = (0..42).map(line_class).collect();
        assert_eq!(looks.len(), 42);
    }
}
