//! Text files that hold lights: tables of numbers, and the checks that all of them share.

use super::CaptureError;
use crate::geometry::Vec3;
use crate::io::read_text_of;
use std::path::Path;

/// A text file with lights is a few kilobytes; beyond this it is something else.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a text file that describes lights or images.
pub(super) fn read_small_text(path: &Path) -> Result<String, CaptureError> {
    let text = read_text_of(path, MAX_BYTES)?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_string))
}

/// Rows of finite numbers between white space or commas; empty lines are passed over.
pub(super) fn number_rows(path: &Path, text: &str) -> Result<Vec<Vec<f64>>, CaptureError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let fields = line.split([' ', '\t', '\r', ',', ';']).filter(|field| !field.is_empty());
            fields.map(|field| parse_number(path, number + 1, field)).collect()
        })
        .collect()
}

pub(super) fn parse_number(path: &Path, line: usize, field: &str) -> Result<f64, CaptureError> {
    match field.parse::<f64>() {
        // Beyond that, f32 and the squares of its kind overflow.
        Ok(value) if value.abs() < 1e15 => Ok(value),
        _ => {
            let field: String = field.chars().take(40).collect();
            let reason = format!("line {line}: `{field}` is not a usable number; mend that line");
            Err(CaptureError::malformed(path, reason))
        }
    }
}

/// Reads directions, one light a line.
///
/// # Errors
/// Other than three numbers in a line.
pub(super) fn read_directions(path: &Path) -> Result<Vec<[f64; 3]>, CaptureError> {
    let rows = number_rows(path, &read_small_text(path)?)?;
    rows.into_iter()
        .enumerate()
        .map(|(i, row)| {
            <[f64; 3]>::try_from(row).map_err(|row| {
                let reason = format!("light {} has {} numbers; give x, y and z", i + 1, row.len());
                CaptureError::malformed(path, reason)
            })
        })
        .collect()
}

/// Reads intensities, one light a line: one number for all channels, or R, G and B.
///
/// # Errors
/// Another count of numbers in a line, or one that is not above zero.
pub(super) fn read_intensities(path: &Path) -> Result<Vec<[f32; 3]>, CaptureError> {
    let rows = number_rows(path, &read_small_text(path)?)?;
    rows.iter()
        .enumerate()
        .map(|(i, row)| {
            rgb_intensity(row)
                .map_err(|why| CaptureError::malformed(path, format!("light {}: {why}", i + 1)))
        })
        .collect()
}

/// One intensity for all channels, or R, G and B; all above zero.
pub(super) fn rgb_intensity(values: &[f64]) -> Result<[f32; 3], String> {
    let rgb = match *values {
        [all] => [all; 3],
        [r, g, b] => [r, g, b],
        _ => return Err(format!("{} intensities; give one, or R, G and B", values.len())),
    };
    match rgb.iter().find(|e| !(1e-6..1e12).contains(*e)) {
        Some(e) => {
            Err(format!("the intensity {e:?} is not above zero (1e-6 to 1e12); give one that is"))
        }
        None => Ok(rgb.map(|e| e as f32)),
    }
}

/// A unit vector, or `None` where there is no direction.
pub(super) fn unit(direction: [f64; 3]) -> Option<Vec3> {
    let vector = nalgebra::Vector3::from(direction);
    let length = vector.norm();
    (length > 1e-12 && length.is_finite()).then(|| (vector / length).cast())
}

/// Unit vectors of a file's directions.
pub(super) fn unit_directions(
    path: &Path,
    directions: &[[f64; 3]],
) -> Result<Vec<Vec3>, CaptureError> {
    let numbered = directions.iter().enumerate();
    numbered
        .map(|(i, &direction)| {
            unit(direction).ok_or_else(|| {
                let reason = format!("light {} is (0, 0, 0); give its direction", i + 1);
                CaptureError::malformed(path, reason)
            })
        })
        .collect()
}

/// Refuses differing counts of things that belong to each other in order.
pub(super) fn same_count(
    path: &Path,
    (count, what): (usize, &str),
    (other_count, other): (usize, &str),
) -> Result<(), CaptureError> {
    if count == other_count {
        return Ok(());
    }
    let reason = format!("has {count} {what}, but there are {other_count} {other}; give as many");
    Err(CaptureError::malformed(path, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_named_with_its_line() {
        let rows = |text: &str| number_rows(Path::new("l.txt"), text).map_err(|e| e.to_string());
        assert_eq!(rows("1 2,3\r\n\n-4\t5e-1 ;6").unwrap(), [[1.0, 2.0, 3.0], [-4.0, 0.5, 6.0]]);
        for bad in ["1 2\n3 x", "1 2\n3 NaN", "1 2\n3 inf", "1 2\n3 1e300"] {
            let message = rows(bad).unwrap_err();
            assert!(message.contains("l.txt: line 2"), "{message}");
        }
    }

    #[test]
    fn intensities_are_one_or_three_and_positive() {
        assert_eq!(rgb_intensity(&[2.0]), Ok([2.0; 3]));
        assert_eq!(rgb_intensity(&[1.0, 2.0, 3.0]), Ok([1.0, 2.0, 3.0]));
        for bad in [&[0.0][..], &[-1.0], &[1.0, 2.0], &[], &[1.0, f64::NAN, 1.0]] {
            assert!(rgb_intensity(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_vectors_with_a_direction_become_unit_vectors() {
        assert_eq!(unit([0.0, 0.0, 5.0]), Some(Vec3::z()));
        assert_eq!(unit([0.0; 3]), None);
        assert_eq!(unit([f64::NAN, 0.0, 1.0]), None);
    }
}
