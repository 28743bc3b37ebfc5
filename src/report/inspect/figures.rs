//! A capture's maps as small pictures for the page.

use super::markup::{Packing, escaped, image};
use crate::geometry::Vec3;
use crate::io::Picture;
use crate::maps::{
    AlbedoMap, ConfidenceMap, DepthMap, ImageStack, Mask, NormalMap, Plane, ResidualMap, Size,
};
use crate::order_statistics::quantile_of_defined;
use crate::quality::exposure_maps;
use crate::report::relight::{RelightLight, relight, srgb_grey};
use crate::report::turntable::turned_view;

/// Off the mask: the page's tint for "no value".
const NOWHERE: [u8; 3] = [232, 233, 237];
/// Most lit images that are shown; of more, as many spread over the list.
const MOST_LIT: usize = 8;
/// Azimuths of the relit strip, degrees, and one elevation: from the far left round to the far
/// right.
const RELIT_AZIMUTHS_DEG: [f32; 8] = [-75.0, -50.0, -30.0, -10.0, 10.0, 30.0, 50.0, 75.0];
const RELIT_ELEVATION_DEG: f32 = 15.0;
const TURNS_DEG: [f32; 5] = [-40.0, -20.0, 0.0, 20.0, 40.0];
/// Viridis (van der Walt and Smith 2015) at equal steps: even steps of lightness, and safe for
/// colour-blind eyes.
const VIRIDIS: [[u8; 3]; 6] =
    [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]];

/// What there is to show of a capture. All of one size.
pub struct CaptureMaps {
    pub normals: NormalMap,
    pub albedo: AlbedoMap,
    pub depth: DepthMap,
    pub residual: ResidualMap,
    pub mask: Mask,
    pub confidence: Option<ConfidenceMap>,
    /// The lit images, where they are at hand and of the maps' size.
    pub images: Option<ImageStack>,
}

/// The figures of a capture as HTML; pictures are at most `side` pixels long.
pub(super) fn figures(maps: &CaptureMaps, side: usize) -> String {
    let thumb = |picture: Picture| shrunk(picture, side);
    let size = maps.mask.size;
    let mut html = String::new();

    let white = quantile(&maps.albedo, 0.99).max(1e-6);
    if let Some(images) = &maps.images {
        let shown = images.count.min(MOST_LIT);
        html += &line_start(&format!("Lit images, {shown} of {}", images.count));
        for i in 0..shown {
            let j = i * images.count / shown;
            let label = format!("image {}", j + 1);
            html += &figure(&thumb(lit(images, j)), Packing::Jpeg, &label, "");
        }
        html += "</div>";
    }

    html += &strip_start("Maps");
    let packing = Packing::Png;
    html += &figure(&thumb(normals(maps)), packing, "normals", "R, G, B = right, up, toward you");
    let albedo = thumb(srgb_grey(&maps.albedo, 1.0 / white, NOWHERE));
    html += &figure(&albedo, Packing::Jpeg, "albedo", &format!("white = {white:.2}"));
    let depth = thumb(shaded_depth(&maps.depth));
    html += &figure(&depth, Packing::Jpeg, "depth, shaded", &depth_range(&maps.depth));
    let top = quantile(&maps.residual, 0.99).max(0.01);
    let residual = thumb(viridis(&maps.residual, 0.0, top));
    let legend = legend("0", &format!("{:.1} %", 100.0 * top));
    html += &figure(&residual, packing, "residual, share of full scale", &legend);
    if let Some(confidence) = &maps.confidence {
        let picture = thumb(viridis(confidence, 0.0, 1.0));
        html += &figure(&picture, packing, "confidence", &self::legend("0", "1"));
    }
    if let Some(images) = &maps.images {
        // No count of shadows: it would need the room's light that was taken off before solving,
        // which the files still hold.
        let saturated = exposure_maps(images, &maps.mask).saturated;
        let all = images.count as f32;
        let picture = thumb(viridis(&saturated, 0.0, all));
        let legend = self::legend("0", &format!("{all:.0}"));
        html += &figure(&picture, packing, "images saturated", &legend);
    }
    html += "</div>";

    html += &line_start(&format!(
        "Relit: a lamp goes round at {RELIT_ELEVATION_DEG:.0}° elevation, with cast shadows"
    ));
    for azimuth in RELIT_AZIMUTHS_DEG {
        let light = RelightLight {
            ambient: 0.03,
            ..RelightLight::from_angles(azimuth, RELIT_ELEVATION_DEG)
        };
        let lit = relight(&maps.normals, &maps.albedo, &maps.mask, &light, Some(&maps.depth));
        let picture = thumb(srgb_grey(&lit, 1.0 / white, NOWHERE));
        html += &figure(&picture, Packing::Jpeg, &degrees(azimuth), "");
    }
    html += "</div>";

    html += &line_start("Turned: the depth map from other sides; its back is red");
    let tile = thumb_size(size, side);
    for turn in TURNS_DEG {
        let view = turned_view(&maps.depth, None, turn, tile, NOWHERE);
        html += &figure(&view, Packing::Jpeg, &degrees(turn), "");
    }
    html += "</div>";
    html
}

/// A small picture for a row of the table: the albedo.
pub(super) fn thumbnail(maps: &CaptureMaps, side: usize) -> String {
    let white = quantile(&maps.albedo, 0.99).max(1e-6);
    let picture = shrunk(srgb_grey(&maps.albedo, 1.0 / white, NOWHERE), side);
    image(&picture, Packing::Jpeg, "albedo")
}

fn degrees(value: f32) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{:.0}°", value.abs())
}

fn strip_start(title: &str) -> String {
    format!("<h4>{}</h4><div class=\"strip\">", escaped(title))
}

/// A strip that stays on one line, its pictures as small as that needs.
fn line_start(title: &str) -> String {
    format!("<h4>{}</h4><div class=\"strip line\">", escaped(title))
}

fn figure(picture: &Picture, packing: Packing, label: &str, legend: &str) -> String {
    let legend = if legend.is_empty() { String::new() } else { format!("<small>{legend}</small>") };
    format!(
        "<figure>{}<figcaption>{}{legend}</figcaption></figure>",
        image(picture, packing, label),
        escaped(label)
    )
}

fn legend(low: &str, high: &str) -> String {
    format!("{} <span class=\"scale\"></span> {}", escaped(low), escaped(high))
}

/// The stops of the colour scale as CSS.
pub(super) fn scale_css() -> String {
    VIRIDIS.map(|[r, g, b]| format!("rgb({r},{g},{b})")).join(",")
}

fn thumb_size(size: Size, side: usize) -> Size {
    let longest = size.height.max(size.width).max(1);
    let scale = (side as f64 / longest as f64).min(1.0);
    let scaled = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    Size::new(scaled(size.height), scaled(size.width))
}

fn shrunk(picture: Picture, side: usize) -> Picture {
    let size = thumb_size(picture.size, side);
    if size == picture.size { picture } else { picture.resized(size) }
}

fn lit(images: &ImageStack, j: usize) -> Picture {
    let area = images.size.area();
    let plane =
        Plane::new(images.size, (0..area).map(|p| images.pixels.get(j * area + p)).collect());
    srgb_grey(&plane, 1.0 / quantile(&plane, 0.995).max(1e-6), NOWHERE)
}

fn normals(maps: &CaptureMaps) -> Picture {
    Picture::from_fn(maps.normals.size, |p| {
        let n = maps.normals.at(p);
        if maps.mask.data[p] && !n.x.is_nan() {
            [n.x, n.y, n.z].map(|v| (127.5 * (v.clamp(-1.0, 1.0) + 1.0)).round() as u8)
        } else {
            NOWHERE
        }
    })
}

/// Lit from the upper left, so that bumps look like bumps.
fn shaded_depth(depth: &DepthMap) -> Picture {
    let Size { height, width } = depth.size;
    let light = Vec3::new(-0.5, 0.6, 0.8).normalize();
    Picture::from_fn(depth.size, |p| {
        let (r, c) = (p / width, p % width);
        if depth.data[p].is_nan() {
            return NOWHERE;
        }
        // One-sided beside the mask's edge, so that the rim is shown too.
        let slope = |back: Option<usize>, ahead: Option<usize>| {
            let z = |q: Option<usize>| {
                q.map(|q| depth.data[q]).filter(|z| !z.is_nan()).unwrap_or(depth.data[p])
            };
            0.5 * (z(ahead) - z(back))
        };
        let dz_dx = slope((c > 0).then(|| p - 1), (c + 1 < width).then_some(p + 1));
        let dz_dy = slope((r + 1 < height).then_some(p + width), (r > 0).then(|| p - width));
        let shade = Vec3::new(-dz_dx, -dz_dy, 1.0).normalize().dot(&light).max(0.0);
        [(255.0 * (0.08 + 0.9 * shade).min(1.0)).round() as u8; 3]
    })
}

fn depth_range(depth: &DepthMap) -> String {
    let span = quantile(depth, 0.99) - quantile(depth, 0.01);
    format!("relief {span:.0} px")
}

fn viridis(plane: &Plane<f32>, low: f32, high: f32) -> Picture {
    Picture::from_fn(plane.size, |p| {
        let value = plane.data[p];
        if value.is_nan() {
            return NOWHERE;
        }
        let place = ((value - low) / (high - low)).clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f32;
        let stop = (place as usize).min(VIRIDIS.len() - 2);
        let fade = place - stop as f32;
        [0, 1, 2].map(|i| {
            let (a, b) = (f32::from(VIRIDIS[stop][i]), f32::from(VIRIDIS[stop + 1][i]));
            (a + fade * (b - a)).round() as u8
        })
    })
}

/// The value below which a share of the defined pixels lies; 0 where none is defined.
fn quantile(plane: &Plane<f32>, share: f64) -> f32 {
    quantile_of_defined(plane.data.iter().copied(), share).unwrap_or(0.0)
}
