//! Float maps as OpenEXR files, 32-bit, NaN where undefined.
//!
//! Normals are the channels R, G, B = n_x, n_y, n_z of the camera frame, colour is R, G, B; scalar
//! maps are one channel `Y`. All are what Blender, OpenCV, ImageMagick and the OpenEXR Python
//! module open.

use super::decode::{MAX_BYTES, MAX_SIDE, read_bytes, without_panic};
use super::{IoError, Transfer, read_photo, write_atomically};
use crate::maps::{Albedo, NormalMap, Pixels, Plane, Size};
use exr::meta::MetaData;
use exr::prelude::*;
use std::io::Cursor;
use std::path::Path;

/// Whether float maps are squeezed on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapCompression {
    /// Takes less than a tenth of the time of ZIP to write (23 against 304 ms for the normals of a
    /// 564×756 capture).
    #[default]
    None,
    /// Lossless, about half the size.
    Zip,
}

fn write_channels(
    path: &Path,
    size: Size,
    channels: &[(&str, &[f32])],
    compression: MapCompression,
) -> std::result::Result<(), IoError> {
    let channels = channels
        .iter()
        .map(|(name, values)| AnyChannel::new(*name, FlatSamples::F32(values.to_vec())))
        .collect();
    let layer = Layer::new(
        (size.width, size.height),
        LayerAttributes::default(),
        Encoding {
            compression: match compression {
                MapCompression::None => Compression::Uncompressed,
                MapCompression::Zip => Compression::ZIP1,
            },
            ..Encoding::FAST_LOSSLESS
        },
        AnyChannels::sort(channels),
    );
    let mut bytes = Vec::new();
    exr::prelude::Image::from_layer(layer)
        .write()
        .non_parallel()
        .to_buffered(Cursor::new(&mut bytes))
        .map_err(|e| IoError::unsuitable(path, format!("cannot be encoded as EXR ({e})")))?;
    write_atomically(path, |out| out.write_all(&bytes))
}

/// The first layer's channels by name, within the limits of every image.
fn decode_layer(
    path: &Path,
    bytes: Vec<u8>,
) -> std::result::Result<Layer<AnyChannels<FlatSamples>>, IoError> {
    without_panic(path, || {
        let undecodable = |e| IoError::undecodable(path, e);
        let meta = MetaData::read_from_buffered(Cursor::new(&bytes), false).map_err(undecodable)?;
        let pixel_bytes = meta.headers.iter().map(|header| {
            let Vec2(width, height) = header.layer_size;
            if width.max(height) > MAX_SIDE {
                return usize::MAX;
            }
            width * height * header.channels.bytes_per_pixel
        });
        if pixel_bytes.fold(0, usize::saturating_add) > MAX_BYTES {
            return Err(IoError::undecodable(path, "it claims more than 512 MiB of pixels"));
        }
        let image = read()
            .no_deep_data()
            .largest_resolution_level()
            .all_channels()
            .first_valid_layer()
            .all_attributes()
            .non_parallel()
            .from_buffered(Cursor::new(bytes))
            .map_err(undecodable)?;
        Ok(image.layer_data)
    })
}

/// A full-resolution channel's values; `None` where the layer has none of that name.
fn channel(
    path: &Path,
    layer: &Layer<AnyChannels<FlatSamples>>,
    name: &str,
) -> std::result::Result<Option<Vec<f32>>, IoError> {
    let Some(channel) = layer.channel_data.list.iter().find(|c| c.name == *name) else {
        return Ok(None);
    };
    let values: Vec<f32> = channel.sample_data.values_as_f32().collect();
    if values.len() != layer.size.area() {
        return Err(IoError::unsuitable(path, format!("has a subsampled channel `{name}`")));
    }
    Ok(Some(values))
}

fn read_channels<const N: usize>(
    path: &Path,
    names: [&str; N],
) -> std::result::Result<(Size, [Vec<f32>; N]), IoError> {
    let layer = decode_layer(path, read_bytes(path)?)?;
    let mut channels = std::array::from_fn(|_| Vec::new());
    for (name, values) in names.iter().zip(&mut channels) {
        *values = channel(path, &layer, name)?
            .ok_or_else(|| IoError::unsuitable(path, format!("has no EXR channel `{name}`")))?;
    }
    Ok((Size::new(layer.size.y(), layer.size.x()), channels))
}

/// A photograph: R, G and B, or Y alone.
pub(super) fn decode_light(
    path: &Path,
    bytes: Vec<u8>,
) -> std::result::Result<(Size, Vec<Vec<f32>>), IoError> {
    let layer = decode_layer(path, bytes)?;
    let size = Size::new(layer.size.y(), layer.size.x());
    let [r, g, b] = ["R", "G", "B"].map(|name| channel(path, &layer, name));
    if let (Some(r), Some(g), Some(b)) = (r?, g?, b?) {
        return Ok((size, vec![r, g, b]));
    }
    let y = channel(path, &layer, "Y")?.ok_or_else(|| {
        IoError::unsuitable(path, "has neither the EXR channels R, G, B nor Y; export one of them")
    })?;
    Ok((size, vec![y]))
}

/// Writes a scalar map (h, w) as channel `Y`.
pub fn write_plane(
    path: &Path,
    plane: &Plane<f32>,
    compression: MapCompression,
) -> std::result::Result<(), IoError> {
    write_channels(path, plane.size, &[("Y", &plane.data)], compression)
}

/// Reads a scalar map (h, w) from channel `Y`.
pub fn read_plane(path: &Path) -> std::result::Result<Plane<f32>, IoError> {
    let (size, [values]) = read_channels(path, ["Y"])?;
    Ok(Plane::new(size, values))
}

/// Writes n_x, n_y, n_z as R, G, B.
pub fn write_normals(
    path: &Path,
    normals: &NormalMap,
    compression: MapCompression,
) -> std::result::Result<(), IoError> {
    let channels = [("R", normals.x()), ("G", normals.y()), ("B", normals.z())];
    write_channels(path, normals.size, &channels, compression)
}

/// Writes three planes of one size as R, G, B.
///
/// # Panics
/// If the planes differ in size.
pub fn write_rgb(
    path: &Path,
    planes: &[Plane<f32>; 3],
    compression: MapCompression,
) -> std::result::Result<(), IoError> {
    let [r, g, b] = planes;
    assert!(r.size == g.size && g.size == b.size, "planes of one size");
    let channels = [("R", &*r.data), ("G", &*g.data), ("B", &*b.data)];
    write_channels(path, r.size, &channels, compression)
}

/// Reads R, G, B as three planes.
pub fn read_rgb(path: &Path) -> std::result::Result<[Plane<f32>; 3], IoError> {
    let (size, channels) = read_channels(path, ["R", "G", "B"])?;
    Ok(channels.map(|values| Plane::new(size, values)))
}

/// Reads an albedo in grey (EXR channel Y) or colour (R, G, B), or any image as linear values.
///
/// # Errors
/// A missing or undecodable file, or an EXR with neither.
pub fn read_albedo(path: &Path) -> std::result::Result<Albedo, IoError> {
    if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("exr")) {
        let photo = read_photo(path, Transfer::ByFormat)?;
        let shares = |pixels: &Pixels| {
            let unit = 1.0 / pixels.full_scale();
            Plane::new(photo.size, (0..pixels.len()).map(|i| unit * pixels.get(i)).collect())
        };
        return Ok(match &photo.colour {
            Some(channels) => Albedo::Rgb(channels.each_ref().map(shares)),
            None => Albedo::Grey(shares(&photo.grey)),
        });
    }
    match (read_plane(path), read_rgb(path)) {
        (Ok(grey), _) => Ok(Albedo::Grey(grey)),
        (_, Ok(rgb)) => Ok(Albedo::Rgb(rgb)),
        (Err(IoError::Unsuitable { .. }), Err(IoError::Unsuitable { .. })) => {
            Err(IoError::unsuitable(path, "has neither a channel Y nor R, G and B; give an albedo"))
        }
        (Err(error), _) => Err(error),
    }
}

/// Writes an albedo so that [`read_albedo`] reads it.
///
/// # Errors
/// What the system reports.
pub fn write_albedo(
    path: &Path,
    albedo: &Albedo,
    compression: MapCompression,
) -> std::result::Result<(), IoError> {
    match albedo {
        Albedo::Grey(plane) => write_plane(path, plane, compression),
        Albedo::Rgb(planes) => write_rgb(path, planes, compression),
    }
}

/// Reads n_x, n_y, n_z from R, G, B.
pub fn read_normals(path: &Path) -> std::result::Result<NormalMap, IoError> {
    let (size, channels) = read_channels(path, ["R", "G", "B"])?;
    Ok(NormalMap::new(size, channels.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;

    #[test]
    fn maps_come_back_to_the_bit_with_their_nans() {
        let folder = tempfile::tempdir().unwrap();
        let size = Size::new(3, 5);
        let normals = NormalMap::from_fn(size, |r, c| {
            if r == 1 { Vec3::repeat(f32::NAN) } else { Vec3::new(0.1 * c as f32, -0.3, 0.7) }
        });
        let path = folder.path().join("normals.exr");
        write_normals(&path, &normals, MapCompression::Zip).unwrap();
        let back = read_normals(&path).unwrap();
        assert_eq!(back.size, size);
        let bits = |map: &NormalMap| map.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&normals));

        let depth = Plane::from_fn(size, |r, c| (r * 10 + c) as f32 - 7.5);
        let path = folder.path().join("depth.exr");
        write_plane(&path, &depth, MapCompression::None).unwrap();
        assert_eq!(read_plane(&path).unwrap(), depth);
        assert!(matches!(read_normals(&path), Err(IoError::Unsuitable { .. })));
    }

    #[test]
    fn a_cut_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("depth.exr");
        write_plane(&path, &Plane::filled(Size::new(40, 40), 1.5), MapCompression::Zip).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let message = read_plane(&path).unwrap_err().to_string();
            assert!(message.contains("depth.exr"), "{message}");
        }
    }
}
