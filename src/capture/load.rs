//! From files to pixels that can be solved: decode, judge, select.

use super::judge::{Ranges, unusable_reason};
use super::prepare::Preparation;
use super::{Capture, CaptureError, CaptureSource, MAX_CONDITION_NUMBER};
use crate::io::{LUMINANCE, Photo, Transfer, read_mask, read_photo};
use crate::maps::{ImageStack, Lights, Mask, NearLights, Size};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

impl CaptureSource {
    /// Reads the images, leaves out those that are missing, unreadable, black or saturated, and
    /// checks that what is left can be solved.
    ///
    /// `Capture::images` holds raw `U8` or `U16` where nothing had to be prepared, else `F32`
    /// shares of full scale. Its saturation levels are where the sensor clips, found in the images
    /// (12 bits in 16-bit files); of an image whose channels were divided by differing
    /// intensities, the level at which a grey surface clips in its brightest channel. A pixel that
    /// clipped keeps its ambient light, so that it still stands at that level. Float files above 1
    /// are divided by the capture's greatest value; unless they end at 1 they never clip.
    ///
    /// # Errors
    /// Images of differing sizes, fewer than three usable ones, a mask or ambient frame that is
    /// missing or of another size, an empty mask, or degenerate lights.
    pub fn load(&self) -> Result<Capture, CaptureError> {
        let read = |path| read_photo(path, self.rig.transfer);
        let photos: Vec<_> = self.images.par_iter().map(|path| read(path)).collect();
        let mask = self.rig.mask.as_deref().map(read_subject).transpose()?;
        let ambient = match &self.rig.ambient {
            None => None,
            Some(path) => Some((path.as_path(), read(path)?)),
        };

        let ranges = Ranges::of(photos.iter().flatten());
        let (mut kept, mut usable, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (path, photo)) in self.images.iter().zip(photos).enumerate() {
            let judged = photo.map(|photo| {
                let mask = mask.as_ref().filter(|mask| mask.size == photo.size);
                (unusable_reason(&photo.grey, ranges.of_photo(&photo), mask), photo)
            });
            match judged {
                Ok((None, photo)) => {
                    kept.push(index);
                    usable.push(photo);
                }
                Ok((Some(reason), _)) => dropped.push(format!("{}: {reason}", path.display())),
                Err(error) => dropped.push(error.to_string()),
            }
        }
        let size = self.common_size(&kept, &usable)?;
        if usable.len() < 3 {
            let mut detail = dropped.join("; ");
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            let (folder, usable) = (self.folder.clone(), usable.len());
            return Err(CaptureError::TooFewImages { folder, usable, detail });
        }
        if let (Some(mask), Some(path)) = (&mask, &self.rig.mask) {
            same_size(path, "mask", mask.size, size)?;
        }
        if let Some((path, ambient)) = &ambient {
            same_size(path, "ambient frame", ambient.size, size)?;
        }

        let in_colour = usable.iter().any(|photo| photo.colour.is_some());
        let rgb: Option<Vec<[f32; 3]>> = self
            .rig
            .colour_intensities
            .as_ref()
            .map(|all| kept.iter().map(|&index| all[index]).collect());
        // Grey images cannot be divided by channel: their light is as bright as its luminance.
        let factors = rgb.iter().filter(|_| !in_colour).flatten().map(luminance_of).collect();
        let (lights, near) = self.lights_of(&kept, factors, size);
        let condition_number = lights.condition_number();
        if condition_number > MAX_CONDITION_NUMBER {
            let folder = self.folder.clone();
            return Err(CaptureError::DegenerateLights { folder, condition_number });
        }

        let ambient = ambient.map(|(_, photo)| photo);
        let divisors = rgb.filter(|_| in_colour);
        let (images, colour) = Preparation { ranges, ambient, divisors }.stacks(size, usable);
        Ok(Capture {
            images,
            lights,
            files: kept.iter().map(|&index| self.images[index].clone()).collect(),
            dropped,
            colour,
            mask,
            camera: self.rig.camera,
            near,
        })
    }

    fn common_size(&self, kept: &[usize], usable: &[Photo]) -> Result<Size, CaptureError> {
        let Some(first) = usable.first() else { return Ok(Size::new(0, 0)) };
        let name = |index: usize| {
            self.images[index].file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        match kept.iter().zip(usable).find(|(_, photo)| photo.size != first.size) {
            None => Ok(first.size),
            Some((&index, other)) => Err(CaptureError::SizesDiffer {
                folder: self.folder.clone(),
                first: name(kept[0]),
                first_size: first.size,
                other: name(index),
                other_size: other.size,
            }),
        }
    }

    /// The kept lights, their intensities times `factors` where there are any.
    fn lights_of(
        &self,
        kept: &[usize],
        factors: Vec<f32>,
        size: Size,
    ) -> (Lights, Option<NearLights>) {
        let scale = |intensities: &mut [f32]| {
            intensities.iter_mut().zip(&factors).for_each(|(e, factor)| *e *= factor);
        };
        let near = self.rig.near.as_ref().map(|near| {
            let mut near = near.select(kept);
            scale(&mut near.intensities);
            near
        });
        let lights = match &near {
            Some(near) => near.at_centre(size),
            None => {
                let mut lights = self.lights.select(kept);
                scale(&mut lights.intensities);
                lights
            }
        };
        (lights, near)
    }
}

/// Reads images of one size as one grey stack, as they are needed for a calibration: every one of
/// them, in their order.
///
/// # Errors
/// An image that is missing, unreadable or of another size than the first; no image at all.
pub fn read_images(paths: &[PathBuf], transfer: Transfer) -> Result<ImageStack, CaptureError> {
    let photos = paths
        .par_iter()
        .map(|path| Ok(read_photo(path, transfer)?))
        .collect::<Result<Vec<Photo>, CaptureError>>()?;
    let Some(first) = photos.first() else {
        return Err(CaptureError::malformed(Path::new("images"), "none given; name one per light"));
    };
    let size = first.size;
    for (path, photo) in paths.iter().zip(&photos) {
        same_size(path, "image", photo.size, size)?;
    }
    let ranges = Ranges::of(photos.iter());
    let (images, _) = Preparation { ranges, ambient: None, divisors: None }.stacks(size, photos);
    Ok(images)
}

fn luminance_of(rgb: &[f32; 3]) -> f32 {
    rgb.iter().zip(LUMINANCE).map(|(e, w)| e * w).sum()
}

/// A mask that shows something.
fn read_subject(path: &Path) -> Result<Mask, CaptureError> {
    let mask = read_mask(path)?;
    if mask.count() == 0 {
        return Err(CaptureError::malformed(
            path,
            "the mask is empty; paint the subject white, or delete the file",
        ));
    }
    Ok(mask)
}

fn same_size(path: &Path, what: &str, size: Size, images: Size) -> Result<(), CaptureError> {
    if size == images {
        return Ok(());
    }
    Err(CaptureError::malformed(
        path,
        format!("the {what} is {size}, the images are {images}; bring it to their size and crop"),
    ))
}
