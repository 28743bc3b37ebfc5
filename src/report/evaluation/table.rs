//! Tables of the page: figures with their intervals, and below them why some have no value.

use super::super::markup::escaped;
use super::numbers::{fixed, interval};
use crate::eval::Figure;
use std::fmt::Write;

/// A table in the making.
pub(super) struct Table {
    html: String,
    columns: usize,
    /// Why figures have no value, each reason once.
    reasons: Vec<String>,
}

impl Table {
    /// `headings` of all columns, the first that of the rows' names.
    pub fn new(caption: &str, headings: &[&str]) -> Self {
        let mut html = format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"{0}\" tabindex=\"0\"><table>\
             <caption>{0}</caption><thead><tr>",
            escaped(caption)
        );
        for heading in headings {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escaped(heading));
        }
        html += "</tr></thead><tbody>";
        Self { html, columns: headings.len(), reasons: Vec::new() }
    }

    /// A row; `meaning` stands small below its name, `cells` are HTML from the functions below.
    pub fn row(&mut self, name: &str, meaning: &str, cells: &[String]) {
        let _ = write!(self.html, "<tr><th scope=\"row\">{}", escaped(name));
        if !meaning.is_empty() {
            let _ = write!(self.html, "<small>{}</small>", escaped(meaning));
        }
        self.html += "</th>";
        for cell in cells {
            let _ = write!(self.html, "<td class=\"number\">{cell}</td>");
        }
        self.html += "</tr>";
    }

    /// A line over the rows that follow.
    pub fn group(&mut self, name: &str) {
        let _ = write!(
            self.html,
            "</tbody><tbody><tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>",
            self.columns,
            escaped(name)
        );
    }

    /// A figure, or a dash and a note.
    pub fn figure(&mut self, figure: &Figure) -> String {
        let Some(value) = figure.value else {
            return self.dash(figure.reason.as_deref().unwrap_or("not computed"));
        };
        let bounds = figure
            .interval
            .map(|bounds| format!(" <span class=\"interval\">{}</span>", interval(bounds)))
            .unwrap_or_default();
        format!("<data value=\"{value}\">{}</data>{bounds}", fixed(value))
    }

    /// No value, and why.
    pub fn dash(&mut self, reason: &str) -> String {
        let known = self.reasons.iter().position(|r| r == reason).unwrap_or_else(|| {
            self.reasons.push(reason.to_string());
            self.reasons.len() - 1
        });
        format!("<abbr title=\"{}\">–</abbr><sup>{}</sup>", escaped(reason), note_mark(known))
    }

    /// What other numbers say, or a dash and a note.
    pub fn text(&mut self, text: Option<String>, reason: &str) -> String {
        text.map_or_else(|| self.dash(reason), |text| escaped(&text))
    }

    pub fn finish(self) -> String {
        let mut html = self.html + "</tbody></table></div>";
        if !self.reasons.is_empty() {
            html += "<p class=\"notes\">";
            for (i, reason) in self.reasons.iter().enumerate() {
                let _ = write!(html, "<sup>{}</sup> {}. ", note_mark(i), escaped(reason));
            }
            html += "</p>";
        }
        html
    }
}

/// a, b, …, z, a2, …
fn note_mark(number: usize) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26 + 1) }
}
