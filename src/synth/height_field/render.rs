//! From a scene to pixels: normals, shadows, light and camera noise.

use rayon::prelude::*;

use super::face::{Face, Material};
use super::person::{Draws, mix};
use super::{Rendering, Scene, Truth};
use crate::geometry::{Vec3, light_from_zenith_azimuth};
use crate::maps::{ImageStack, Lights, Mask, NormalMap, Pixels, Plane, Size};

/// The upright head fills this share of the shorter image side from crown to eyes.
const HEAD_SHARE: f64 = 0.42;
/// The eyes lie this share of the shorter side above the middle of the image.
const EYES_ABOVE_MIDDLE: f64 = 0.025;

/// Similarity from pixels to head units.
struct Camera {
    /// Pixels per head unit.
    scale: f64,
    /// Column and row of the point between the eyes.
    origin: [f64; 2],
    /// Cosine and sine of the roll.
    turn: [f64; 2],
}

impl Camera {
    fn new(scene: &Scene) -> Self {
        let Size { height, width } = scene.size;
        let side = height.min(width) as f64;
        let [right, up] = scene.pose.shift.map(|shift| f64::from(shift) * side);
        // From the half angle, in sums and products only; exact as a rotation, and to 0.1 % as
        // an angle below 10°.
        let half = f64::from(scene.pose.roll_deg) * std::f64::consts::PI / 360.0;
        let norm = 1.0 + half * half;
        Self {
            scale: HEAD_SHARE * side * f64::from(scene.pose.scale),
            origin: [
                0.5 * (width as f64 - 1.0) + right,
                0.5 * (height as f64 - 1.0) - EYES_ABOVE_MIDDLE * side - up,
            ],
            turn: [(1.0 - half * half) / norm, 2.0 * half / norm],
        }
    }

    /// Head units of a pixel position.
    fn to_head(&self, column: f64, row: f64) -> [f64; 2] {
        let (dx, dy) = (column - self.origin[0], self.origin[1] - row);
        let [cos, sin] = self.turn;
        [(cos * dx + sin * dy) / self.scale, (cos * dy - sin * dx) / self.scale]
    }
}

/// The surface at one pixel.
struct Sample {
    /// Pixels toward the camera.
    depth: f64,
    normal: Vec3,
    material: Material,
}

impl Sample {
    /// `None` on the background.
    fn at(face: &Face, camera: &Camera, column: usize, row: usize) -> Option<Self> {
        let (column, row) = (column as f64, row as f64);
        let [x, y] = camera.to_head(column, row);
        if !face.inside(x, y) {
            return None;
        }
        let depth = |dx: f64, dy: f64| {
            let [x, y] = camera.to_head(column + dx, row - dy);
            camera.scale * face.height(x, y)
        };
        // Central differences of the continuous height over a thousandth of a pixel: as good as
        // derivatives in f64, and the surface need not know how to differentiate itself.
        const STEP: f64 = 5e-4;
        let slope_x = (depth(STEP, 0.0) - depth(-STEP, 0.0)) / (2.0 * STEP);
        let slope_y = (depth(0.0, STEP) - depth(0.0, -STEP)) / (2.0 * STEP);
        let length = (1.0 + slope_x * slope_x + slope_y * slope_y).sqrt();
        let normal = nalgebra::Vector3::new(-slope_x, -slope_y, 1.0) / length;
        Some(Self {
            depth: depth(0.0, 0.0),
            normal: normal.cast(),
            material: face.material(x, y, 1.0 / camera.scale),
        })
    }

    /// Specular light as a share of full scale.
    fn shine(&self, light: Vec3) -> f64 {
        let half_way = (light + Vec3::z()).normalize();
        let normal = match self.material.lens_slopes {
            Some([x, y]) => Vec3::new(x as f32, y as f32, 1.0).normalize(),
            None => self.normal,
        };
        let mut lobe = f64::from(normal.dot(&half_way).max(0.0));
        for _ in 0..self.material.sharpness {
            lobe *= lobe;
        }
        self.material.gloss * lobe
    }
}

/// Renders a scene: images, lights and truth. Pure; the same scene gives the same bytes at any
/// number of threads.
pub fn render(scene: &Scene) -> Rendering {
    let (size, options) = (scene.size, &scene.options);
    let camera = Camera::new(scene);
    let face = Face::new(scene);
    let directions: Vec<Vec3> = scene
        .light_angles_deg
        .iter()
        .map(|&[zenith, azimuth]| light_from_zenith_azimuth(zenith, azimuth))
        .collect();

    let samples: Vec<Option<Sample>> = by_rows(size, |row, column| {
        let sample = Sample::at(&face, &camera, column, row)?;
        let seen = |light: &Vec3| sample.normal.dot(light) > 0.0;
        (options.attached_shadows || directions.iter().all(seen)).then_some(sample)
    });
    let mask = Mask::new(size, samples.iter().map(Option::is_some).collect());
    let relief = Relief::new(size, &samples);
    let cast_shadow: Vec<Mask> = directions
        .iter()
        .map(|&light| {
            let blocked = by_rows(size, |row, column| match &samples[row * size.width + column] {
                Some(sample) if sample.normal.dot(&light) > 0.0 => {
                    relief.blocks(row, column, light)
                }
                _ => false,
            });
            Mask::new(size, blocked)
        })
        .collect();
    let exposure = f64::from(scene.exposure);
    let albedo_of = |sample: &Sample| (exposure * sample.material.albedo) as f32;

    let full_scale = if options.sixteen_bit { 65535.0 } else { 255.0 };
    let (ambient, noise) =
        (f64::from(options.ambient_dn) / 255.0, f64::from(options.noise_dn) / 255.0);
    let area = size.area();
    let mut values = vec![0u16; directions.len() * area];
    let row_length = size.width.max(1);
    values.par_chunks_mut(row_length).enumerate().for_each(|(line, values)| {
        let (image, row) = (line / size.height, line % size.height);
        let light = directions[image];
        // One stream of noise per image row: no thread can change it.
        let mut draws = Draws::new(scene.noise_seed ^ mix(line as u64));
        for (column, value) in values.iter_mut().enumerate() {
            let pixel = row * size.width + column;
            let mut share = ambient;
            if let Some(sample) = &samples[pixel] {
                let facing = sample.normal.dot(&light);
                if facing > 0.0 && !(options.cast_shadows && cast_shadow[image].data[pixel]) {
                    share += f64::from(albedo_of(sample)) * f64::from(facing);
                    if options.specular {
                        share += exposure * sample.shine(light);
                    }
                }
            }
            if noise > 0.0 {
                share += noise * draws.normal();
            }
            *value = (share * full_scale).round().clamp(0.0, full_scale) as u16;
        }
    });
    let pixels = if options.sixteen_bit {
        Pixels::U16(values)
    } else {
        // At most 255 each: `full_scale` is 255.
        Pixels::U8(values.into_iter().map(|value| value as u8).collect())
    };

    let map = |value: &dyn Fn(&Sample) -> f32| {
        let values = samples.iter().map(|sample| sample.as_ref().map_or(f32::NAN, value));
        Plane::new(size, values.collect())
    };
    let total: f64 = samples.iter().flatten().map(|sample| sample.depth).sum();
    let mean = total / mask.count().max(1) as f64;
    let components = (0..3).flat_map(|c| map(&|sample| sample.normal[c]).data).collect();
    let truth = Truth {
        normals: NormalMap::new(size, components),
        albedo: map(&albedo_of),
        depth: map(&|sample| (sample.depth - mean) as f32),
        mask,
        cast_shadow,
    };
    Rendering {
        images: ImageStack::new(size, directions.len(), pixels),
        lights: Lights::directional(directions),
        truth,
    }
}

/// A plane's values from a function of row and column, rows in parallel.
fn by_rows<T: Send>(size: Size, value: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let row_of = |row: usize| (0..size.width).map(|column| value(row, column)).collect();
    let rows: Vec<Vec<T>> = (0..size.height).into_par_iter().map(row_of).collect();
    rows.into_iter().flatten().collect()
}

/// Depth on the pixel grid, for rays toward the lights.
struct Relief {
    size: Size,
    /// Pixels toward the camera; far behind the face off the mask.
    depth: Vec<f32>,
    /// Largest depth: a ray above it is free.
    top: f32,
}

impl Relief {
    fn new(size: Size, samples: &[Option<Sample>]) -> Self {
        let depth: Vec<f32> = samples
            .iter()
            .map(|sample| sample.as_ref().map_or(f32::MIN / 4.0, |sample| sample.depth as f32))
            .collect();
        let top = depth.iter().copied().fold(f32::MIN, f32::max);
        Self { size, depth, top }
    }

    /// True if the way from a pixel of the face to the light meets the face again.
    ///
    /// The ray takes steps of one pixel across the image. It starts above the surface by a share
    /// of a pixel, so that the surface between the samples does not shade itself.
    fn blocks(&self, row: usize, column: usize, light: Vec3) -> bool {
        let across = (light.x * light.x + light.y * light.y).sqrt();
        if across < 1e-6 {
            return false;
        }
        let (step_x, step_y, rise) = (light.x / across, light.y / across, light.z / across);
        let start = self.depth[row * self.size.width + column] + 0.3;
        let mut distance = 1.5f32;
        loop {
            let ray = start + distance * rise;
            let (x, y) = (column as f32 + distance * step_x, row as f32 - distance * step_y);
            let inside = x >= 0.0
                && y >= 0.0
                && x < (self.size.width - 1) as f32
                && y < (self.size.height - 1) as f32;
            if !inside || ray > self.top {
                return false;
            }
            if self.height(x, y) > ray {
                return true;
            }
            distance += 1.0;
        }
    }

    /// Bilinear depth at a position inside the grid.
    fn height(&self, x: f32, y: f32) -> f32 {
        let (column, row) = (x as usize, y as usize);
        let (fade_x, fade_y) = (x - column as f32, y - row as f32);
        let at = row * self.size.width + column;
        let pair = |at: usize| self.depth[at] + fade_x * (self.depth[at + 1] - self.depth[at]);
        let (upper, lower) = (pair(at), pair(at + self.size.width));
        upper + fade_y * (lower - upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::angle_between_deg;
    use crate::synth::height_field::{FacialHair, Gender, Person, Pose, RenderOptions};

    fn scene(seed: u64, side: usize) -> Scene {
        Scene::sample(seed, 0, Size::new(side, side))
    }

    #[test]
    fn the_same_scene_gives_the_same_bytes_at_any_thread_count() {
        let scene = scene(1, 128);
        let on_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a thread pool").install(|| render(&scene))
        };
        let (one, three) = (on_threads(1), on_threads(3));
        assert_eq!(one.images, three.images);
        assert_eq!(one.truth.mask, three.truth.mask);
        let bits = |map: &[f32]| map.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&one.truth.depth.data), bits(&three.truth.depth.data));
        let other = Scene { noise_seed: scene.noise_seed + 1, ..scene.clone() };
        assert_ne!(one.images, render(&other).images);
    }

    #[test]
    fn maps_are_nan_exactly_off_the_mask() {
        for (height, width) in [(40, 64), (64, 40)] {
            let Rendering { images, truth, lights } =
                render(&Scene::sample(2, 1, Size::new(height, width)));
            assert_eq!((images.count, lights.len()), (4, 4));
            let share = truth.mask.count() as f32 / truth.mask.size.area() as f32;
            assert!((0.2..0.9).contains(&share), "{share} of the image is face");
            for pixel in 0..truth.mask.data.len() {
                let inside = truth.mask.data[pixel];
                assert_eq!(inside, !truth.depth.data[pixel].is_nan());
                assert_eq!(inside, !truth.albedo.data[pixel].is_nan());
                assert_eq!(inside, (truth.normals.at(pixel).norm() - 1.0).abs() < 1e-5);
                assert!(inside || truth.cast_shadow.iter().all(|shadow| !shadow.data[pixel]));
            }
            let defined = truth.depth.data.iter().filter(|depth| !depth.is_nan());
            let mean = defined.sum::<f32>() / truth.mask.count() as f32;
            assert!(mean.abs() < 1e-3, "mean depth {mean}");
        }
    }

    #[test]
    fn ideal_images_obey_lambert_to_the_last_step() {
        let scene = Scene { options: RenderOptions::ideal(), ..scene(4, 96) };
        let Rendering { images, lights, truth } = render(&scene);
        let area = images.size.area();
        assert!(truth.mask.count() > area / 4);
        for (image, light) in lights.directions.iter().enumerate() {
            for pixel in (0..area).filter(|&pixel| truth.mask.data[pixel]) {
                let want = truth.albedo.data[pixel] * truth.normals.at(pixel).dot(light);
                let got = images.pixels.get(image * area + pixel) / images.pixels.full_scale();
                assert!(want > 0.0 && (got - want).abs() < 0.51 / 65535.0, "{got}, not {want}");
            }
        }
    }

    #[test]
    fn the_truth_albedo_includes_the_exposure() {
        let albedo = |exposure: f32| render(&Scene { exposure, ..scene(4, 48) }).truth.albedo;
        for (half, full) in albedo(0.5).data.iter().zip(albedo(1.0).data) {
            assert!(full.is_nan() || (half - 0.5 * full).abs() < 1e-6, "{half} of {full}");
        }
    }

    #[test]
    fn normals_are_those_of_the_depth() {
        for seed in 0..40 {
            let mut scene = scene(seed, 96);
            scene.traits.spectacles = seed % 2 == 0;
            if scene.person.gender == Gender::Male {
                scene.traits.facial_hair =
                    [FacialHair::Beard, FacialHair::Moustache][seed as usize % 2];
            }
            let truth = render(&scene).truth;
            let (face, camera) = (Face::new(&scene), Camera::new(&scene));
            let depth = |column: f64, row: f64| {
                let [x, y] = camera.to_head(column, row);
                camera.scale * face.height(x, y)
            };
            // Against the continuous depth, at twice the step of the renderer.
            let step = 1e-3;
            let mut coarse = Vec::new();
            for row in 1..95 {
                for column in 1..95 {
                    let pixel = row * 96 + column;
                    if !truth.mask.data[pixel] {
                        continue;
                    }
                    let (x, y) = (column as f64, row as f64);
                    let slope_x = (depth(x + step, y) - depth(x - step, y)) / (2.0 * step);
                    let slope_y = (depth(x, y - step) - depth(x, y + step)) / (2.0 * step);
                    let fine = Vec3::new(-slope_x as f32, -slope_y as f32, 1.0);
                    let off = angle_between_deg(fine, truth.normals.at(pixel));
                    assert!(off < 0.1, "{off}° at row {row}, column {column}, person {seed}");
                    // Against the depth map itself, whose grid blurs the small forms.
                    let at = |pixel: usize| truth.depth.data[pixel];
                    let slope_x = 0.5 * (at(pixel + 1) - at(pixel - 1));
                    let slope_y = 0.5 * (at(pixel - 96) - at(pixel + 96));
                    let off = angle_between_deg(
                        Vec3::new(-slope_x, -slope_y, 1.0),
                        truth.normals.at(pixel),
                    );
                    if !off.is_nan() {
                        coarse.push(off);
                    }
                }
            }
            coarse.sort_by(f32::total_cmp);
            let median = coarse[coarse.len() / 2];
            assert!(median < 2.5, "median {median}° from the differences of the depth map");
        }
    }

    #[test]
    fn a_light_on_the_right_brightens_slopes_that_face_right() {
        let Rendering { images, truth, .. } = render(&scene(5, 64));
        let area = images.size.area();
        let mean = |image: usize, side: f32| {
            let facing: Vec<f32> = (0..area)
                .filter(|&pixel| truth.mask.data[pixel] && side * truth.normals.x()[pixel] > 0.4)
                .map(|pixel| images.pixels.get(image * area + pixel))
                .collect();
            assert!(facing.len() > 50);
            facing.iter().sum::<f32>() / facing.len() as f32
        };
        for (image, side) in [(0, 1.0), (1, 1.0), (2, -1.0), (3, -1.0)] {
            let (near, far) = (mean(image, side), mean(image, -side));
            assert!(near > 1.5 * far, "light {image}: {near} on its side, {far} on the other");
        }
    }

    #[test]
    fn the_nose_is_nearest_and_throws_its_shadow_away_from_the_light() {
        for seed in 0..8 {
            let mut scene = scene(seed, 96);
            scene.pose = Pose::default();
            scene.traits.spectacles = false;
            scene.light_angles_deg = vec![[60.0, 90.0], [60.0, 270.0]];
            let truth = render(&scene).truth;
            let camera = Camera::new(&scene);
            let position = |pixel: usize| camera.to_head((pixel % 96) as f64, (pixel / 96) as f64);
            let depth = |&pixel: &usize| truth.depth.data[pixel];
            let inside = (0..96 * 96).filter(|&pixel| truth.mask.data[pixel]);
            let nearest = inside.max_by(|a, b| depth(a).total_cmp(&depth(b)));
            let [x, y] = position(nearest.expect("a face"));
            assert!(x.abs() < 0.06 && (-0.52..-0.25).contains(&y), "{x}, {y} of person {seed}");

            for (shadow, side) in truth.cast_shadow.iter().zip([1.0, -1.0]) {
                let beside = |side: f64| {
                    let shaded = (0..96 * 96).filter(|&pixel| shadow.data[pixel]).map(position);
                    shaded
                        .filter(|[x, y]| {
                            (0.04..0.4).contains(&(side * x)) && (-0.5..-0.1).contains(y)
                        })
                        .count()
                };
                let (away, toward) = (beside(-side), beside(side));
                assert!(away > 10 && toward * 10 < away, "{away} away, {toward} toward the light");
            }
        }
    }

    #[test]
    fn any_size_and_any_number_of_lights_will_do() {
        for (height, width) in [(0, 0), (0, 5), (1, 1), (2, 9), (9, 2)] {
            let mut scene = Scene::sample(0, 0, Size::new(height, width));
            assert_eq!(render(&scene).images.pixels.len(), 4 * height * width);
            scene.light_angles_deg.clear();
            assert!(render(&scene).images.pixels.is_empty());
        }
    }

    #[test]
    fn options_leave_out_what_they_name() {
        let base = Scene {
            options: RenderOptions { noise_dn: 0.0, ..RenderOptions::default() },
            ..scene(2, 64)
        };
        let with = |change: fn(&mut RenderOptions)| {
            let mut scene = base.clone();
            change(&mut scene.options);
            render(&scene)
        };
        let all = render(&base);
        let sum = |rendering: &Rendering| {
            let pixels = &rendering.images.pixels;
            (0..pixels.len()).map(|i| f64::from(pixels.get(i))).sum::<f64>()
        };
        assert!(sum(&with(|options| options.cast_shadows = false)) > sum(&all));
        assert!(sum(&with(|options| options.specular = false)) < sum(&all));
        assert!(sum(&with(|options| options.ambient_dn = 0.0)) < sum(&all));
        let unshaded = with(|options| options.attached_shadows = false).truth.mask;
        assert!(unshaded.count() < all.truth.mask.count());
    }

    #[test]
    fn lenses_glint_on_the_side_of_the_light() {
        let mut scene = scene(0, 128);
        scene.pose = Pose::default();
        scene.traits.spectacles = true;
        scene.options.noise_dn = 0.0;
        let shiny = render(&scene);
        scene.options.specular = false;
        let dull = render(&scene);
        let (camera, area) = (Camera::new(&scene), 128 * 128);
        for (image, light) in shiny.lights.directions.iter().enumerate() {
            let glint = |pixel: &usize| {
                let at = image * area + pixel;
                shiny.images.pixels.get(at) - dull.images.pixels.get(at)
            };
            let position =
                |pixel: usize| camera.to_head((pixel % 128) as f64, (pixel / 128) as f64);
            let lens = scene.person.shape.eye_spacing;
            let right_lens = (0..area).filter(|&pixel| {
                let [x, y] = position(pixel);
                (x - lens).abs() < 0.15 && y.abs() < 0.12
            });
            let brightest = right_lens.max_by(|a, b| glint(a).total_cmp(&glint(b)));
            let brightest = brightest.expect("pixels on the lens");
            let [x, y] = position(brightest);
            assert!(glint(&brightest) > 50.0, "{} under light {image}", glint(&brightest));
            let (dx, dy) = ((x - lens) as f32, y as f32);
            assert!(dx * light.x > 0.0 && dy * light.y > 0.0, "{dx}, {dy} under light {image}");
        }
    }

    #[test]
    fn traits_show_where_they_belong() {
        let man = (0..).find(|&seed| Person::sample(seed).gender == Gender::Male);
        let mut scene = scene(man.expect("a man"), 96);
        scene.pose = Pose::default();
        let camera = Camera::new(&scene);
        let mut albedo = |spectacles: bool, facial_hair: FacialHair, low: f64, high: f64| {
            (scene.traits.spectacles, scene.traits.facial_hair) = (spectacles, facial_hair);
            let truth = render(&scene).truth;
            let band: Vec<f32> = (0..96 * 96)
                .filter(|pixel| {
                    let [x, y] = camera.to_head((pixel % 96) as f64, (pixel / 96) as f64);
                    x.abs() < 0.55 && (low..high).contains(&y) && truth.mask.data[*pixel]
                })
                .map(|pixel| truth.albedo.data[pixel])
                .collect();
            band.iter().sum::<f32>() / band.len() as f32
        };
        let chin = [FacialHair::None, FacialHair::Stubble, FacialHair::Beard]
            .map(|grown| albedo(false, grown, -0.95, -0.80));
        assert!(chin[0] > 1.1 * chin[1] && chin[1] > 1.1 * chin[2], "chin {chin:?}");
        let lip = [FacialHair::None, FacialHair::Moustache]
            .map(|grown| albedo(false, grown, -0.62, -0.54));
        assert!(lip[0] > 1.1 * lip[1], "upper lip {lip:?}");
        let eyes = [false, true].map(|worn| albedo(worn, FacialHair::None, -0.2, 0.2));
        assert!(eyes[0] > 1.1 * eyes[1], "eyes {eyes:?}");
    }
}
