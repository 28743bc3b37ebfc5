//! A whole set at a glance: what was found how often, and which captures to look at first.

use super::{CaptureQuality, FindingCode, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a finding occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCount {
    /// Captures that have it.
    pub captures: usize,
    /// Of them, those where it is an error.
    pub errors: usize,
}

/// What a set of captures is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetQuality {
    pub captures: usize,
    /// Captures without a warning or an error.
    pub good: usize,
    pub with_warnings: usize,
    pub with_errors: usize,
    /// By the finding's name.
    pub findings: BTreeMap<String, FindingCount>,
    /// Indices into the captures, worst first; equals in their order.
    pub worst_first: Vec<usize>,
    /// Medians over the captures that have the figure.
    pub median_residual_share: Option<f64>,
    pub median_curl: Option<f64>,
}

/// Sums up a set.
pub fn summarise(captures: &[CaptureQuality]) -> SetQuality {
    let mut findings: BTreeMap<String, FindingCount> = BTreeMap::new();
    let mut by_severity = [0usize; 3];
    for capture in captures {
        let mut codes: BTreeMap<FindingCode, Severity> = BTreeMap::new();
        for finding in &capture.findings {
            let worst = codes.entry(finding.code).or_insert(finding.severity);
            *worst = (*worst).max(finding.severity);
        }
        for (code, severity) in codes {
            let count = findings.entry(code.name().to_string()).or_default();
            count.captures += 1;
            count.errors += usize::from(severity == Severity::Error);
        }
        match capture.severity() {
            Some(Severity::Error) => by_severity[2] += 1,
            Some(Severity::Warning) => by_severity[1] += 1,
            _ => by_severity[0] += 1,
        }
    }
    let mut worst_first: Vec<usize> = (0..captures.len()).collect();
    worst_first.sort_by(|&a, &b| captures[b].badness().total_cmp(&captures[a].badness()));
    let median = |value: &dyn Fn(&CaptureQuality) -> Option<f64>| {
        let values: Vec<f64> = captures.iter().filter_map(value).collect();
        super::maps::quantiles(values, [0.5]).map(|[median]| median)
    };
    SetQuality {
        captures: captures.len(),
        good: by_severity[0],
        with_warnings: by_severity[1],
        with_errors: by_severity[2],
        findings,
        worst_first,
        median_residual_share: median(&|c| c.residual.as_ref().map(|r| r.median_share)),
        median_curl: median(&|c| c.integrability.as_ref().map(|i| i.median)),
    }
}
