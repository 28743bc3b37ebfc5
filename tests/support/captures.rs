//! Real captures with something to check against, read plainly.

use super::{skip, test_data};
use lumiface::geometry::{Vec3, light_from_yaleb_angles};
use lumiface::maps::{ImageStack, Lights, Mask, NormalMap, Pixels, Size};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The DiLiGenT ball under 32 lights, with true normals.
pub struct Ball {
    /// 16-bit grey: each channel over its light's intensity, then the mean, scaled to full range.
    pub images: ImageStack,
    pub lights: Lights,
    pub mask: Mask,
    pub truth: NormalMap,
}

fn numbers(path: &Path) -> Vec<[f32; 3]> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let values: Vec<f32> = line.split_whitespace().map(|v| v.parse().unwrap()).collect();
            [values[0], values[1], values[2]]
        })
        .collect()
}

/// True normals from NumPy's format: a text header, then f32 values, here in Fortran's order:
/// rows change fastest, components slowest.
pub fn true_normals(path: &Path, size: Size) -> NormalMap {
    let bytes = fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..header]);
    assert!(text.contains("'<f4'") && text.contains("'fortran_order': True"), "{text}");
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes[header..]);
    NormalMap::from_fn(size, |r, c| {
        Vec3::from([0, 1, 2].map(|k| values[r + size.height * (c + size.width * k)]))
    })
}

/// The ball, or `None` after a skip.
pub fn diligent_ball() -> Option<Ball> {
    let folder = test_data("diligent/ballPNG")?;
    let directions = numbers(&folder.join("light_directions.txt"));
    let intensities = numbers(&folder.join("light_intensities.txt"));
    let mask = lumiface::io::read_mask(&folder.join("mask.png")).unwrap();
    let names = fs::read_to_string(folder.join("filenames.txt")).unwrap();
    let grey: Vec<f32> = names
        .lines()
        .zip(&intensities)
        .flat_map(|(name, e)| {
            let image = image::open(folder.join(name.trim())).unwrap().into_rgb16();
            image
                .pixels()
                .map(|p| (0..3).map(|c| f32::from(p[c]) / e[c]).sum::<f32>() / 3.0)
                .collect::<Vec<_>>()
        })
        .collect();
    let scale = 65_535.0 / grey.iter().fold(0.0f32, |m, v| m.max(*v));
    let pixels = Pixels::U16(grey.iter().map(|v| (v * scale).round() as u16).collect());
    let images = ImageStack::new(mask.size, directions.len(), pixels);
    let lights = Lights::directional(directions.into_iter().map(Vec3::from).collect());
    let truth = true_normals(&folder.join("normal_gt.npy"), mask.size);
    Some(Ball { images, lights, mask, truth })
}

/// The Yale B archive unpacked into a temporary folder, or `None` after a skip.
pub fn yaleb() -> Option<(tempfile::TempDir, PathBuf)> {
    let archive = test_data("extended_yale_b_cropped_15.tar.xz")?;
    let folder = tempfile::tempdir().unwrap();
    let unpacked =
        Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(folder.path()).status();
    if !unpacked.is_ok_and(|status| status.success()) {
        skip("the Yale B archive cannot be unpacked; install tar and xz");
        return None;
    }
    let root = folder.path().join("CroppedYale");
    Some((folder, root))
}

/// One person's images under the lights within 70° of azimuth and 45° of elevation, sorted by
/// azimuth, then elevation.
pub struct Person {
    pub size: Size,
    pub images: Vec<Vec<u8>>,
    pub directions: Vec<Vec3>,
}

impl Person {
    pub fn select(&self, chosen: &[usize]) -> (ImageStack, Lights) {
        let pixels = chosen.iter().flat_map(|&i| self.images[i].clone()).collect();
        let images = ImageStack::new(self.size, chosen.len(), Pixels::U8(pixels));
        (images, Lights::directional(chosen.iter().map(|&i| self.directions[i]).collect()))
    }
}

/// All people of an unpacked archive.
pub fn yaleb_people(root: &Path) -> Vec<Person> {
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders.iter().map(|folder| yaleb_person(folder)).collect()
}

/// Azimuth and elevation in degrees from a name such as `yaleB01_P00A+035E-20.pgm`.
fn yaleb_angles(path: &Path) -> Option<(i32, i32)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".pgm")?;
    let (azimuth, elevation) = name.split_once("_P00A")?.1.split_once('E')?;
    Some((azimuth.parse().ok()?, elevation.parse().ok()?))
}

fn yaleb_person(folder: &Path) -> Person {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Some((yaleb_angles(&path)?, path)))
        .filter(|((azimuth, elevation), _)| azimuth.abs() <= 70 && elevation.abs() <= 45)
        .collect();
    files.sort();
    let mut size = Size::new(0, 0);
    let images = files
        .iter()
        .map(|(_, path)| {
            let image = image::open(path).unwrap().into_luma8();
            size = Size::new(image.height() as usize, image.width() as usize);
            image.into_raw()
        })
        .collect();
    let directions =
        files.iter().map(|((a, e), _)| light_from_yaleb_angles(*a as f32, *e as f32)).collect();
    Person { size, images, directions }
}
