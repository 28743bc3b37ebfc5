//! Figures that a study published, to stand beside one's own with what is wrong with them.

use super::super::markup::escaped;
use super::numbers::{count, fixed};
use crate::eval::{LegacyResult, MethodResult};
use std::fmt::Write;

/// What a study published, and why it cannot be taken as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedStudy {
    /// Area under the ROC of identity by what the network was shown.
    pub identity_auc: Vec<(String, f64)>,
    /// Shares of probes whose person is the first, and among the first five.
    pub rank_1: f64,
    pub rank_5: f64,
    pub flaws: Vec<String>,
}

impl PublishedStudy {
    /// The study that the network comes from.
    pub fn original() -> Self {
        let identity_auc = [
            ("normals", 0.976),
            ("albedo", 0.972),
            ("depth", 0.965),
            ("normals + albedo", 0.982),
            ("normals + depth", 0.982),
            ("albedo + depth", 0.980),
            ("normals + albedo + depth", 0.985),
        ];
        let flaws = [
            "The AUC of a task was computed on whether the prediction was right, so it is always 1.",
            "63 people are in the test set and in the gallery.",
            "One person gives 126 of the 469 test images, and so most genuine pairs.",
            "The best state of training was chosen on the test set.",
        ];
        Self {
            identity_auc: identity_auc.map(|(shown, auc)| (shown.to_string(), auc)).to_vec(),
            rank_1: 0.9959,
            rank_5: 1.0,
            flaws: flaws.map(String::from).to_vec(),
        }
    }

    /// A box with the figures, marked as published, and their flaws; beside them those of a method
    /// that was `measured` by the same protocol.
    pub(super) fn html(&self, measured: Option<(&LegacyResult, &MethodResult)>) -> String {
        let mut html = String::from(
            "<section class=\"published\"><h2>Published figures and their flaws</h2>\
             <p><strong>Published, not measured here.</strong> They have no intervals and are no \
             yardstick for the figures above.</p><div class=\"scroll\"><table><caption>Published \
             figures of identity</caption><thead><tr><th scope=\"col\">Figure</th>\
             <th scope=\"col\">Shown to the network</th><th scope=\"col\">Published</th></tr>\
             </thead><tbody>",
        );
        for (shown, auc) in &self.identity_auc {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">AUC</th><td>{}</td><td class=\"number\">\
                 <data value=\"{auc}\">{auc:.3}</data></td></tr>",
                escaped(shown)
            );
        }
        for (figure, share) in [("Gallery, top 1", self.rank_1), ("Gallery, top 5", self.rank_5)] {
            let percent = format!("{:.2}", 100.0 * share);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{figure}</th><td>not said</td><td class=\"number\">\
                 <data value=\"{share}\">{percent} %</data></td></tr>"
            );
        }
        html += "</tbody></table></div>";
        if let Some((measured, by)) = measured {
            html += &measured_html(measured, &by.method);
        }
        html += "<h3>Flaws of what was published</h3><ul>";
        for flaw in &self.flaws {
            let _ = write!(html, "<li>{}</li>", escaped(flaw));
        }
        html + "</ul></section>"
    }
}

/// What this run reaches by the protocol of the published figures.
fn measured_html(measured: &LegacyResult, method: &str) -> String {
    let mut html = format!(
        "<h3>Measured here by that protocol</h3><p>{} of {} test captures against {} of {} gallery \
         captures: {} genuine and {} impostor pairs; {} test captures have a mate.</p>\
         <div class=\"scroll\"><table><thead><tr><th scope=\"col\">Figure</th>\
         <th scope=\"col\">{}</th></tr></thead><tbody>",
        measured.test[0],
        measured.test[1],
        measured.gallery[0],
        measured.gallery[1],
        count(measured.genuine_pairs),
        count(measured.impostor_pairs),
        measured.probes_with_mate,
        escaped(method)
    );
    for (figure, value) in [
        ("AUC", measured.auc),
        ("Gallery, top 1", measured.top_1),
        ("Gallery, top 5", measured.top_5),
    ] {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{figure}</th><td class=\"number\"><data value=\"{value}\">{}\
             </data></td></tr>",
            fixed(value)
        );
    }
    html += "</tbody></table></div><p>They carry the protocol's flaws too:</p><ul>";
    for flaw in &measured.flaws {
        let _ = write!(html, "<li>{}</li>", escaped(flaw));
    }
    html + "</ul>"
}
