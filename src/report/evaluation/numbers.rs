//! Numbers as readers see them.

use crate::eval::Figure;

/// Three decimals, which a figure of some hundred probes does not even have.
pub(super) fn fixed(value: f64) -> String {
    let text = format!("{value:.3}");
    match text.strip_prefix('-') {
        Some("0.000") => "0.000".into(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// `(0.931–0.969)`, or with "to" where a minus would run into the dash.
pub(super) fn interval([low, high]: [f64; 2]) -> String {
    let between = if low < 0.0 || high < 0.0 { " to " } else { "–" };
    format!("({}{between}{})", fixed(low), fixed(high))
}

/// `0.952 (0.931–0.969)`; `–` without value.
pub(super) fn with_interval(figure: &Figure) -> String {
    match (figure.value, figure.interval) {
        (None, _) => "–".into(),
        (Some(value), None) => fixed(value),
        (Some(value), Some(bounds)) => format!("{} {}", fixed(value), interval(bounds)),
    }
}

/// A rate to three digits, however small.
pub(super) fn rate(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let decimals = (2.0 - value.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

/// `12,345`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_readers() {
        assert_eq!(fixed(0.9524), "0.952");
        assert_eq!((fixed(-0.0123), fixed(-0.0001)), ("−0.012".into(), "0.000".into()));
        let figure = Figure { value: Some(0.952), interval: Some([0.931, 0.969]), reason: None };
        assert_eq!(with_interval(&figure), "0.952 (0.931–0.969)");
        assert_eq!(interval([-0.01, 0.02]), "(−0.010 to 0.020)");
        assert_eq!(with_interval(&Figure::default()), "–");
        assert_eq!(rate(0.000_987_65), "0.000988");
        assert_eq!((rate(0.01), rate(0.0), rate(1.0)), ("0.01".into(), "0".into(), "1".into()));
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
    }
}
