//! The page around the figures: summary, table, one section per capture that is shown.

use super::figures::{CaptureMaps, figures, scale_css, thumbnail};
use super::markup::escaped;
use super::{InspectOptions, InspectedCapture};
use crate::quality::{
    BLURRED, CaptureQuality, Finding, MAX_SATURATED, MAX_UNDETERMINED, Severity, summarise,
};
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
/// Side of the pictures in the table.
const THUMBNAIL_PX: usize = 48;

/// A capture with its pictures.
pub(super) struct Shown {
    index: usize,
    /// Or why there are none.
    figures: Result<String, String>,
    thumbnail: String,
}

impl Shown {
    pub fn new(index: usize, maps: Result<CaptureMaps, String>, picture_px: usize) -> Self {
        Self {
            index,
            thumbnail: maps.as_ref().map(|m| thumbnail(m, THUMBNAIL_PX)).unwrap_or_default(),
            figures: maps.map(|m| figures(&m, picture_px)),
        }
    }
}

/// Indices of the captures: worst quality first, then those with warnings, then by their order.
pub(super) fn worst_first(captures: &[InspectedCapture]) -> Vec<usize> {
    let badness = |i: &usize| {
        let capture = &captures[*i];
        let told = if capture.warnings.is_empty() { 0.0 } else { 1.0 };
        capture.quality.as_ref().map_or(0.0, CaptureQuality::badness) + told
    };
    let mut order: Vec<usize> = (0..captures.len()).collect();
    order.sort_by(|a, b| badness(b).total_cmp(&badness(a)));
    order
}

pub(super) fn page(
    options: &InspectOptions,
    captures: &[InspectedCapture],
    order: &[usize],
    shown: &[Shown],
) -> String {
    let title = escaped(&options.title);
    let style = STYLE.replace("VIRIDIS", &scale_css());
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{style}</style></head><body><h1>{title}</h1>"
    );
    html += &summary(captures);
    html += &table(captures, order, shown);
    for shown in shown {
        html += &section(&captures[shown.index], shown);
    }
    html + "</body></html>\n"
}

fn summary(captures: &[InspectedCapture]) -> String {
    let judged: Vec<CaptureQuality> = captures.iter().filter_map(|c| c.quality.clone()).collect();
    if judged.is_empty() {
        return format!("<p>{} captures, none of them with a quality file.</p>", captures.len());
    }
    let set = summarise(&judged);
    let mut html = String::from("<section><h2>The set</h2><div class=\"tiles\">");
    for (count, label, class) in [
        (set.captures, "captures judged", ""),
        (set.good, "good", "good"),
        (set.with_warnings, "with warnings", "warning"),
        (set.with_errors, "with errors", "error"),
    ] {
        let _ = write!(html, "<div class=\"tile {class}\"><b>{count}</b>{label}</div>");
    }
    html += "</div>";
    if judged.len() < captures.len() {
        let missing = captures.len() - judged.len();
        let _ = write!(html, "<p>{missing} more have no quality file.</p>");
    }
    if !set.findings.is_empty() {
        html += "<table class=\"counts\"><thead><tr><th>finding</th><th>captures</th>\
                 <th>share of the set</th></tr></thead><tbody>";
        let mut findings: Vec<_> = set.findings.iter().collect();
        findings.sort_by_key(|(_, count)| std::cmp::Reverse(count.captures));
        for (name, count) in findings {
            let share = 100.0 * count.captures as f64 / set.captures as f64;
            let class = if count.errors > 0 { "error" } else { "warning" };
            let _ = write!(
                html,
                "<tr><td>{}</td><td class=\"number\">{}</td><td><span class=\"bar {class}\" \
                 style=\"width:{:.0}px\"></span> {share:.0} %</td></tr>",
                escaped(name),
                count.captures,
                (1.6 * share).max(1.0)
            );
        }
        html += "</tbody></table>";
    }
    html + "</section>"
}

fn table(captures: &[InspectedCapture], order: &[usize], shown: &[Shown]) -> String {
    let mut html = format!(
        "<section><h2>Captures, worst first</h2><p>The first {} are shown with their maps below. \
         Residual: median, share of albedo. Curl: median, slope per pixel. Few lights: share of \
         pixels with fewer than three usable ones.</p><table><thead><tr><th></th><th>capture</th>\
         <th>verdict</th><th>findings</th><th>images</th><th>condition</th><th>residual</th>\
         <th>curl</th><th>saturated</th><th>few lights</th></tr></thead><tbody>",
        shown.len()
    );
    for (rank, &index) in order.iter().enumerate() {
        let capture = &captures[index];
        let name = escaped(&capture.name);
        let (picture, link) = match shown.get(rank) {
            Some(shown) => {
                (shown.thumbnail.as_str(), format!("<a href=\"#capture-{index}\">{name}</a>"))
            }
            None => ("", name),
        };
        let quality = capture.quality.as_ref();
        let share =
            |value: Option<f64>| value.map_or("–".to_string(), |v| format!("{:.1} %", 100.0 * v));
        let exposure = quality.and_then(|q| q.exposure.as_ref());
        let residual = quality.and_then(|q| q.residual.as_ref()).map(|r| r.median_share);
        let curl = quality.and_then(|q| q.integrability.as_ref());
        let _ = write!(
            html,
            "<tr><td>{picture}</td><td>{link}</td><td>{}</td><td>{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             </tr>",
            verdict(capture),
            escaped(&codes(capture)),
            capture.lights,
            condition(capture.condition_number),
            share(residual),
            curl.map_or("–".to_string(), |c| format!("{:.3}", c.median)),
            share(exposure.map(|e| e.saturated_share)),
            share(exposure.map(|e| e.undetermined_share)),
        );
    }
    html + "</tbody></table></section>"
}

fn condition(number: f64) -> String {
    if number.is_finite() { format!("{number:.1}") } else { "∞".into() }
}

fn codes(capture: &InspectedCapture) -> String {
    let findings = capture.quality.iter().flat_map(|q| &q.findings);
    let mut codes: Vec<&str> = findings.map(|f| f.code.name()).collect();
    codes.dedup();
    codes.join(", ")
}

fn verdict(capture: &InspectedCapture) -> String {
    let (class, text) = match capture.quality.as_ref().map(CaptureQuality::severity) {
        None => ("", "no quality file"),
        Some(Some(severity)) => badge(severity),
        Some(None) => ("good", "good"),
    };
    format!("<span class=\"badge {class}\">{text}</span>")
}

fn badge(severity: Severity) -> (&'static str, &'static str) {
    match severity {
        Severity::Error => ("error", "error"),
        Severity::Warning => ("warning", "warning"),
        Severity::Note => ("note", "note"),
    }
}

fn section(capture: &InspectedCapture, shown: &Shown) -> String {
    let mut html = format!(
        "<section class=\"capture\" id=\"capture-{}\"><h3>{} {}</h3><p>{} images of {} px, \
         condition number of the lights {}.</p>",
        shown.index,
        escaped(&capture.name),
        verdict(capture),
        capture.lights,
        capture.size,
        condition(capture.condition_number)
    );
    let findings = capture.quality.iter().flat_map(|q| &q.findings);
    let items: String = findings.map(finding).collect();
    let warnings = capture.warnings.iter().map(|w| format!("<li>{}</li>", escaped(w)));
    let items = items + &warnings.collect::<String>();
    if !items.is_empty() {
        let _ = write!(html, "<ul class=\"findings\">{items}</ul>");
    }
    if let Some(quality) = &capture.quality {
        html += &measures(quality);
    }
    match &shown.figures {
        Ok(figures) => html += figures,
        Err(reason) => {
            let _ = write!(html, "<p>The maps cannot be shown: {}.</p>", escaped(reason));
        }
    }
    html + "</section>"
}

fn finding(finding: &Finding) -> String {
    let (class, word) = badge(finding.severity);
    format!(
        "<li><span class=\"badge {class}\">{word}</span> <b>{}</b>: {}.<br>\
         <span class=\"remedy\">To do: {}.</span></li>",
        finding.code.name(),
        escaped(&finding.message),
        escaped(&finding.remedy)
    )
}

/// The figures behind the findings, each with what is expected of a good capture.
fn measures(quality: &CaptureQuality) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let list = |values: &[f64]| {
        values.iter().take(16).map(|v| format!("{v:.2}")).collect::<Vec<_>>().join("  ")
    };
    let mut rows: Vec<(&str, String, String)> = Vec::new();
    if let Some(e) = &quality.exposure {
        let most = format!("at most {}", percent(MAX_SATURATED));
        rows.push(("saturated observations", percent(e.saturated_share), most));
        rows.push(("observations in shadow", percent(e.shadowed_share), String::new()));
        let [low, median, high] = e.used_quantiles;
        let used = format!("{low:.0} / {median:.0} / {high:.0}");
        let label = "usable lights per pixel: 5 %, median, 95 %";
        rows.push((label, used, "3 or more".into()));
        let most = format!("at most {}", percent(MAX_UNDETERMINED));
        rows.push(("pixels with fewer than 3", percent(e.undetermined_share), most));
    }
    if let Some(r) = &quality.residual {
        let value = format!("{} / {}", percent(r.median_share), percent(r.percentile_95_share));
        rows.push(("residual, share of albedo: median, 95 %", value, "skin: 2 to 6 %".into()));
    }
    if let Some(i) = &quality.integrability {
        let value = format!("{:.3} / {:.3}", i.median, i.percentile_95);
        rows.push(("curl, slope per pixel: median, 95 %", value, "0 for a surface".into()));
    }
    if let Some(f) = &quality.light_frame {
        let value = format!("{:.3}; bulge {:.2}", f.curl, f.bulge);
        rows.push(("curl at the scale of the face", value, "below 0.35; bulge above 0".into()));
    }
    if let Some([low, median, high]) = quality.confidence_quantiles {
        let value = format!("{low:.2} / {median:.2} / {high:.2}");
        rows.push(("confidence: 5 %, median, 95 %", value, "1 is best".into()));
    }
    if let Some(g) = &quality.gains {
        rows.push(("brightness of the lights", list(&g.gains), "0.8 to 1.2".into()));
    }
    if let Some(a) = &quality.alignment {
        let value = format!("{:.1} px", a.largest_px());
        rows.push(("largest shift left between images", value, "below 1 px".into()));
    }
    if let Some(s) = &quality.sharpness {
        let least = format!("none below {BLURRED} of the median");
        rows.push(("sharpness of the images", list(s), least));
    }
    let mut html = String::from(
        "<table class=\"measures\"><thead><tr><th>measure</th><th>here</th><th>expected</th></tr>\
         </thead><tbody>",
    );
    for (label, value, expected) in rows {
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            escaped(label),
            escaped(&value),
            escaped(&expected)
        );
    }
    html + "</tbody></table>"
}
