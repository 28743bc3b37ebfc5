//! Colours of skin and hair from pigments.
//!
//! Skin is two layers (Donner & Jensen, "A Spectral BSSRDF for Shading Human Skin", EGSR 2006):
//! an epidermis of 0.08 mm whose melanin absorbs, over a deep dermis whose blood absorbs. Each
//! layer is solved in closed form by Kubelka and Munk, with K = 2 μ_a and S = ¾ μ'_s:
//!
//! ```text
//! a = (K + S) / S,  b = √(a² − 1),  D = a sinh(bSd) + b cosh(bSd)
//! R₁ = sinh(bSd) / D,  T₁ = b / D,  R₂ = 1 + k − √(k² + 2k) with k = K/S of the dermis
//! R = R₁ + T₁² R₂ / (1 − R₁ R₂)
//! ```
//!
//! Absorption: melanin of ¾ eumelanin (6.6·10¹⁰ λ^−3.33 /mm) and ¼ pheomelanin (2.9·10¹⁴ λ^−4.75
//! /mm) as in that paper; haemoglobin at 150 g/l, 75 % oxygenated, molar extinctions tabulated by
//! Prahl (Oregon Medical Laser Center); bloodless tissue and scattering 4.6 (λ/500)^−1.421 /mm by
//! Jacques, "Optical properties of biological tissues", Phys. Med. Biol. 58 (2013). Each colour
//! channel is the mean of three wavelengths. Melanin takes 1.3–6.3 % of the volume of light
//! epidermis, 11–16 % of a moderate one, 18–43 % of a dark one (Jacques, "Skin optics", 1998).
//!
//! Hair: absorption by eu- and pheomelanin and colour by Chiang et al., "A Practical and
//! Controllable Hair and Fur Model", EGSR 2016, with a weaker fall, since neighbouring strands
//! pass light on.

use std::sync::OnceLock;

use super::super::exact_math::exp;

/// Per wavelength: eumelanin and pheomelanin absorption, blood absorption, bloodless absorption,
/// and reduced scattering, all per mm.
struct Band([f64; 5]);

/// 600, 620, 640; 530, 550, 570; 450, 460, 480 nm.
const WAVELENGTHS_NM: [[f64; 3]; 3] =
    [[600.0, 620.0, 640.0], [530.0, 550.0, 570.0], [450.0, 460.0, 480.0]];
/// Molar extinction of oxygenated and deoxygenated haemoglobin, per cm and mol/l.
const OXY: [[f64; 3]; 3] =
    [[3200.0, 942.0, 442.0], [39_957.0, 43_017.0, 44_497.0], [62_816.0, 44_480.0, 26_629.0]];
const DEOXY: [[f64; 3]; 3] =
    [[14_677.0, 6510.0, 4345.0], [39_036.0, 53_412.0, 45_072.0], [103_292.0, 23_389.0, 14_550.0]];
const EPIDERMIS_MM: f64 = 0.08;
/// Absorption of the dermis by carotene and bilirubin per mm, red, green, blue: they take blue
/// light (Krishnaswamy & Baranoski, "A Biophysically-Based Spectral Model of Light Interaction
/// with Human Skin", Eurographics 2004). The level is set so that light skin comes out as the
/// light skin patch of the ColorChecker, 0.54 0.31 0.22.
const CAROTENE: [f64; 3] = [0.0, 0.02, 0.75];

fn band(channel: usize, sample: usize) -> Band {
    let nm = WAVELENGTHS_NM[channel][sample];
    let power = |base: f64, exponent: f64| super::super::exact_math::pow(base, exponent);
    let blood = (0.75 * OXY[channel][sample] + 0.25 * DEOXY[channel][sample]) * 2.303 * 150.0
        / 64_500.0
        / 10.0;
    Band([
        6.6e10 * power(nm, -3.33),
        2.9e14 * power(nm, -4.75),
        blood,
        (0.0244 + 8.53 * exp(-(nm - 154.0) / 66.2)) / 10.0,
        4.6 * power(nm / 500.0, -1.421),
    ])
}

fn reflectance(band: &Band, carotene: f64, melanin: f64, blood: f64) -> f64 {
    let [eu, pheo, haemoglobin, tissue, scattering] = band.0;
    let s = 0.75 * scattering;
    let k = 2.0 * (melanin * (0.75 * eu + 0.25 * pheo) + (1.0 - melanin) * tissue);
    let a = (k + s) / s;
    let b = (a * a - 1.0).sqrt();
    let x = b * s * EPIDERMIS_MM;
    let (up, down) = (exp(x), exp(-x));
    let (sinh, cosh) = (0.5 * (up - down), 0.5 * (up + down));
    let d = a * sinh + b * cosh;
    let (r1, t1) = (sinh / d, b / d);
    let k2 = 2.0 * (blood * haemoglobin + (1.0 - blood) * tissue + carotene) / s;
    let r2 = 1.0 + k2 - (k2 * k2 + 2.0 * k2).sqrt();
    r1 + t1 * t1 * r2 / (1.0 - r1 * r2)
}

const GRID: usize = 32;
/// Volume shares at the ends of the table; it is even in their square roots.
const MOST_MELANIN: f32 = 0.5;
const MOST_BLOOD: f32 = 0.2;

fn table() -> &'static [[f32; 3]] {
    static TABLE: OnceLock<Vec<[f32; 3]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Vec::with_capacity(GRID * GRID);
        for at in 0..GRID * GRID {
            let share = |index: usize, most: f32| {
                let t = index as f64 / (GRID - 1) as f64;
                f64::from(most) * t * t
            };
            let (melanin, blood) = (share(at / GRID, MOST_MELANIN), share(at % GRID, MOST_BLOOD));
            table.push([0, 1, 2].map(|channel| {
                let sum: f64 = (0..3)
                    .map(|s| reflectance(&band(channel, s), CAROTENE[channel], melanin, blood))
                    .sum();
                (sum / 3.0) as f32
            }));
        }
        table
    })
}

/// Diffuse reflectance of skin in linear red, green, blue, by the volume shares of melanin in the
/// epidermis (0 to 0.5) and of blood in the dermis (0 to 0.2).
pub fn skin(melanin: f32, blood: f32) -> [f32; 3] {
    let place = |share: f32, most: f32| {
        let at = (share / most).clamp(0.0, 1.0).sqrt() * (GRID - 1) as f32;
        let low = (at as usize).min(GRID - 2);
        (low, at - low as f32)
    };
    let ((m, mt), (b, bt)) = (place(melanin, MOST_MELANIN), place(blood, MOST_BLOOD));
    let table = table();
    [0, 1, 2].map(|c| {
        let at = |m: usize, b: usize| table[m * GRID + b][c];
        let low = at(m, b) + bt * (at(m, b + 1) - at(m, b));
        let high = at(m + 1, b) + bt * (at(m + 1, b + 1) - at(m + 1, b));
        low + mt * (high - low)
    })
}

/// Colour of hair by its pigments (eumelanin about 0.3 blond, 1.3 brown, 6 black; pheomelanin up
/// to 2 in red hair) and the share of grey strands.
pub fn hair(eumelanin: f32, pheomelanin: f32, grey: f32) -> [f32; 3] {
    const EU: [f64; 3] = [0.419, 0.697, 1.37];
    const PHEO: [f64; 3] = [0.187, 0.4, 1.05];
    const WHITE: [f32; 3] = [0.50, 0.49, 0.46];
    [0, 1, 2].map(|c| {
        let absorption = f64::from(eumelanin) * EU[c] + f64::from(pheomelanin) * PHEO[c];
        let coloured = 0.014 + 0.75 * exp(-2.9 * absorption.max(0.0).sqrt()) as f32;
        coloured + grey * (WHITE[c] - coloured)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_and_dark_skin_have_the_colours_of_skin() {
        // ColorChecker light skin and dark skin in linear sRGB: 194 150 130 and 115 82 68.
        for (melanin, blood, patch) in
            [(0.037, 0.025, [0.539, 0.305, 0.223]), (0.115, 0.03, [0.171, 0.084, 0.058])]
        {
            let got = skin(melanin, blood);
            let ratio = [0, 1, 2].map(|c| got[c] / patch[c]);
            let level = ratio.iter().sum::<f32>() / 3.0;
            assert!((0.5..2.0).contains(&level), "{got:?}");
            for r in ratio {
                assert!((r / level - 1.0).abs() < 0.22, "hue of {got:?} against {patch:?}");
            }
        }
    }

    #[test]
    fn pigments_darken_and_redden() {
        let shares = [0.01, 0.03, 0.08, 0.2, 0.45];
        for pair in shares.windows(2) {
            let (light, dark) = (skin(pair[0], 0.03), skin(pair[1], 0.03));
            assert!((0..3).all(|c| dark[c] < light[c]), "{light:?} {dark:?}");
        }
        let (pale, red) = (skin(0.03, 0.01), skin(0.03, 0.08));
        assert!(red[0] / red[1] > 1.2 * pale[0] / pale[1]);
        // The table against the formula between its nodes.
        let exact: f64 =
            (0..3).map(|s| reflectance(&band(1, s), CAROTENE[1], 0.047, 0.031)).sum::<f64>() / 3.0;
        assert!((f64::from(skin(0.047, 0.031)[1]) - exact).abs() < 0.003);
    }

    #[test]
    fn hair_runs_from_black_to_blond_and_white() {
        let grey = |c: [f32; 3]| c.iter().sum::<f32>() / 3.0;
        let (black, brown, blond) = (hair(6.0, 0.1, 0.0), hair(1.3, 0.2, 0.0), hair(0.3, 0.1, 0.0));
        assert!(grey(black) < 0.03 && grey(brown) < 0.12 && grey(blond) > 0.15);
        let red = hair(0.35, 1.6, 0.0);
        assert!(red[0] / red[2] > 1.5 * blond[0] / blond[2]);
        assert!(grey(hair(6.0, 0.1, 1.0)) > 0.4);
    }
}
