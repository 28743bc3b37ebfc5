//! Elementary functions that give the same bits on every platform.
//!
//! The platform's mathematics library rounds `sin`, `exp` and `pow` as it likes; a picture made
//! with it differs by machine. Here are only sums, products, quotients and square roots, which
//! IEEE 754 rounds in one way: polynomials after a reduction of the argument (Cody and Waite,
//! *Software Manual for the Elementary Functions*, 1980). Errors are below 1e-13 relative for the
//! functions of f64, of which the tests compare each with the platform's.

use std::f64::consts::{FRAC_PI_2, LN_2, LOG2_E, SQRT_2};

/// Vector of the camera or head frame.
pub type Vector = [f32; 3];

pub fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub fn sub(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub fn scale(a: Vector, by: f32) -> Vector {
    [a[0] * by, a[1] * by, a[2] * by]
}

/// `a + by · b`.
pub fn along(a: Vector, by: f32, b: Vector) -> Vector {
    [a[0] + by * b[0], a[1] + by * b[1], a[2] + by * b[2]]
}

pub fn dot(a: Vector, b: Vector) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub fn length(a: Vector) -> f32 {
    dot(a, a).sqrt()
}

/// Unit vector; the zero vector stays zero.
pub fn normalise(a: Vector) -> Vector {
    let length = length(a);
    if length > 0.0 { scale(a, 1.0 / length) } else { a }
}

/// Sine and cosine of an angle in radians; meant for angles up to some thousand turns.
pub fn sin_cos(angle: f64) -> (f64, f64) {
    // π/2 in two parts, so that the product with a small whole number is exact.
    const HIGH: f64 = 1.570_796_326_734_125_6;
    const LOW: f64 = 6.077_100_506_506_192e-11;
    let quarter = (angle / FRAC_PI_2).round();
    let x = (angle - quarter * HIGH) - quarter * LOW;
    let s = x * x;
    // Taylor series, within 2e-16 up to π/4.
    let sin = x
        * (1.0
            + s * (-1.0 / 6.0
                + s * (1.0 / 120.0
                    + s * (-1.0 / 5040.0
                        + s * (1.0 / 362_880.0
                            + s * (-1.0 / 39_916_800.0
                                + s * (1.0 / 6_227_020_800.0 - s / 1_307_674_368_000.0)))))));
    let cos = 1.0
        + s * (-0.5
            + s * (1.0 / 24.0
                + s * (-1.0 / 720.0
                    + s * (1.0 / 40_320.0
                        + s * (-1.0 / 3_628_800.0
                            + s * (1.0 / 479_001_600.0 - s / 87_178_291_200.0))))));
    match quarter.rem_euclid(4.0) as u8 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Sine and cosine of an angle in degrees.
pub fn sin_cos_deg(angle_deg: f64) -> (f64, f64) {
    sin_cos(angle_deg * (std::f64::consts::PI / 180.0))
}

/// 2ˣ; 0 below −1022, infinite above 1023.
pub fn exp2(x: f64) -> f64 {
    if x.is_nan() || x >= 1024.0 {
        return if x.is_nan() { x } else { f64::INFINITY };
    }
    if x < -1022.0 {
        return 0.0;
    }
    let whole = x.round();
    let y = (x - whole) * LN_2;
    // Taylor series of eʸ for |y| ≤ 0.35.
    let mut sum = 1.0;
    for n in (1..=13).rev() {
        sum = 1.0 + sum * y / f64::from(n);
    }
    // Two steps, since 2¹⁰²⁴ alone is not a number.
    let half = (whole * 0.5).floor();
    let power = |k: f64| f64::from_bits(((k as i64 + 1023) as u64) << 52);
    sum * power(half) * power(whole - half)
}

/// eˣ.
pub fn exp(x: f64) -> f64 {
    exp2(x * LOG2_E)
}

/// Logarithm to base 2 of a positive normal number; NaN for others, −∞ for 0.
pub fn log2(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x < f64::MIN_POSITIVE || x == f64::INFINITY {
        return if x == f64::INFINITY { x } else { f64::NAN };
    }
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    // ln m = 2 artanh((m − 1)/(m + 1)), whose argument is within ±0.172.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let s = z * z;
    let mut sum = 0.0;
    for n in (0..=9).rev() {
        sum = sum * s + 1.0 / f64::from(2 * n + 1);
    }
    exponent + 2.0 * z * sum * LOG2_E
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    log2(x) * LN_2
}

/// xʸ for x ≥ 0.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 { 1.0 } else { exp2(y * log2(x)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from −`range` to `range` that share no pattern with the reductions.
    fn samples(range: f64) -> impl Iterator<Item = f64> {
        (0..20_000)
            .map(move |i| ((f64::from(i) * 0.618_033_988_749_895).fract() * 2.0 - 1.0) * range)
    }

    fn assert_close(what: &str, x: f64, got: f64, want: f64, tolerance: f64) {
        let off = (got - want).abs();
        assert!(off <= tolerance, "{what}({x}) = {got}, the platform says {want}");
    }

    #[test]
    fn sines_are_those_of_the_platform() {
        for x in samples(100.0) {
            let (sin, cos) = sin_cos(x);
            assert_close("sin", x, sin, x.sin(), 1e-14);
            assert_close("cos", x, cos, x.cos(), 1e-14);
        }
        assert_eq!(sin_cos_deg(0.0), (0.0, 1.0));
        assert!((sin_cos_deg(30.0).0 - 0.5).abs() < 1e-15);
    }

    #[test]
    fn powers_are_those_of_the_platform() {
        for x in samples(300.0) {
            let want = x.exp2();
            assert_close("exp2", x, exp2(x), want, 1e-13 * want);
            let (positive, exponent) = (want, 0.37);
            assert_close("log2", positive, log2(positive), x, 1e-13 * x.abs() + 1e-15);
            let want = positive.powf(exponent);
            assert_close("pow", positive, pow(positive, exponent), want, 2e-13 * want);
        }
        for x in samples(0.5) {
            assert_close("log2", 1.0 + x, log2(1.0 + x), (1.0 + x).log2(), 1e-15);
        }
        assert_eq!((exp2(0.0), exp2(10.0), exp2(-2000.0)), (1.0, 1024.0, 0.0));
        assert_eq!((exp2(2000.0), log2(0.0)), (f64::INFINITY, f64::NEG_INFINITY));
        assert!(log2(-1.0).is_nan() && log2(f64::NAN).is_nan() && exp2(f64::NAN).is_nan());
        assert_eq!((pow(0.0, 2.0), pow(0.0, 0.0), pow(3.0, 0.0)), (0.0, 1.0, 1.0));
        assert!((exp2(1023.5) / 2f64.powf(1023.5) - 1.0).abs() < 1e-13);
    }
}
