//! Checks every WGSL file against its Rust side without an adapter: it must be valid, and its
//! bindings and struct layouts must be what the wrappers upload.

use super::buffers::Access;
use super::wgpu::naga;
use super::{
    frankot_chellappa, least_squares, least_squares_ambient, near_light, poisson, reweighted,
    top_k, trace,
};
use crate::synth::render::bvh::Node;
use crate::synth::render::light::LightRecord;
use crate::synth::render::{Triangle, Vertex};
use std::mem::offset_of;

struct Shader {
    file: &'static str,
    source: &'static str,
    entry_points: &'static [&'static str],
    bindings: &'static [Access],
    structs: Vec<Layout>,
}

/// A Rust struct's size and member offsets.
struct Layout {
    name: &'static str,
    size: usize,
    members: Vec<(&'static str, usize)>,
}

macro_rules! layout {
    ($name:literal, $type:ty, [$($member:ident),* $(,)?]) => {
        Layout {
            name: $name,
            size: size_of::<$type>(),
            members: vec![$((stringify!($member), offset_of!($type, $member))),*],
        }
    };
}

fn shaders() -> Vec<Shader> {
    vec![
        Shader {
            file: "least_squares.wgsl",
            source: least_squares::SOURCE,
            entry_points: &["least_squares"],
            bindings: &least_squares::BINDINGS,
            structs: vec![
                layout!(
                    "Params",
                    least_squares::Params,
                    [quads, lights, unit, residual_scale, nan_bits]
                ),
                layout!("Light", least_squares::Light, [row, inverse_column]),
            ],
        },
        Shader {
            file: "least_squares_ambient.wgsl",
            source: least_squares_ambient::SOURCE,
            entry_points: &["least_squares_ambient"],
            bindings: &least_squares_ambient::BINDINGS,
            structs: vec![
                layout!(
                    "Params",
                    least_squares_ambient::Params,
                    [quads, lights, unit, nan_bits, noise_gain, most_noise, padding, mean_row]
                ),
                layout!("Light", least_squares_ambient::Light, [row, inverse_column]),
            ],
        },
        Shader {
            file: "reweighted.wgsl",
            source: reweighted::SOURCE,
            entry_points: &["l1", "trimmed", "weighted"],
            bindings: &reweighted::BINDINGS,
            structs: vec![
                layout!(
                    "Params",
                    reweighted::Params,
                    [
                        quads,
                        lights,
                        unit,
                        nan_bits,
                        noise,
                        shadow,
                        grazing,
                        smoothing,
                        tolerance,
                        rounds,
                        start_rounds,
                        darkest,
                        brightest,
                        most_noise,
                    ]
                ),
                layout!("Light", reweighted::Light, [row, limit]),
            ],
        },
        Shader {
            file: "frankot_chellappa.wgsl",
            source: frankot_chellappa::SOURCE,
            entry_points: &["slopes", "multiply", "project_onto_integrable"],
            bindings: &frankot_chellappa::BINDINGS,
            structs: vec![layout!(
                "Params",
                frankot_chellappa::Params,
                [
                    rows,
                    columns,
                    inner,
                    left_row_step,
                    left_column_step,
                    left_offset,
                    right_row_step,
                    right_column_step,
                    component_step,
                    max_slope,
                ]
            )],
        },
        Shader {
            file: "near_light.wgsl",
            source: near_light::SOURCE,
            entry_points: &["near_light"],
            bindings: &near_light::BINDINGS,
            structs: vec![layout!(
                "Params",
                near_light::Params,
                [
                    quads,
                    width,
                    lights,
                    shadow_rounds,
                    unit,
                    full_cosine,
                    least_weight,
                    singular,
                    focal,
                    centre,
                    nan_bits,
                    padding,
                ]
            )],
        },
        Shader {
            file: "top_k.wgsl",
            source: top_k::SOURCE,
            entry_points: &["many", "single"],
            bindings: &top_k::BINDINGS,
            structs: vec![layout!(
                "Params",
                top_k::Params,
                [rows, queries, quads, first_tile, all_tiles]
            )],
        },
        Shader {
            file: "trace.wgsl",
            source: trace::SOURCE,
            entry_points: &["trace_image", "trace_truth"],
            bindings: &trace::BINDINGS,
            structs: vec![
                layout!(
                    "Params",
                    trace::Params,
                    [
                        right,
                        perspective,
                        up,
                        skip,
                        toward,
                        origin_z,
                        eye,
                        reach,
                        step,
                        centre,
                        height,
                        width,
                        lights,
                        samples_per_side,
                        light_samples,
                        effects,
                        clearance,
                        outline,
                        creep,
                        grazing,
                        luminance,
                        most_lenses,
                        bounce_rays,
                        first_bounce,
                        padding,
                    ]
                ),
                layout!(
                    "Node",
                    Node,
                    [
                        left_min,
                        left_first,
                        left_max,
                        left_count,
                        right_min,
                        right_first,
                        right_max,
                        right_count,
                    ]
                ),
                layout!("Triangle", Triangle, [a, part, b, source, c, transmission]),
                layout!("Vertex", Vertex, [position, scatter, normal, specular, albedo, roughness]),
                layout!(
                    "Light",
                    LightRecord,
                    [place, near, axis, exponent, strength, size, padding]
                ),
            ],
        },
        Shader {
            file: "poisson.wgsl",
            source: poisson::SOURCE,
            entry_points: &[
                "edges",
                "divergence",
                "coarsen",
                "first_sweep",
                "sweep",
                "restrict_residual",
                "prolong",
                "total",
                "measure_energy",
                "measure_residual",
                "turn",
                "measure_curvature",
                "advance",
            ],
            bindings: &poisson::BINDINGS,
            structs: vec![layout!(
                "Params",
                poisson::Params,
                [
                    height,
                    width,
                    first,
                    coarse_height,
                    coarse_width,
                    coarse_first,
                    down,
                    vector,
                    partials,
                    origin_row,
                    origin_column,
                    map_width,
                    component_step,
                    perspective,
                    focal_column,
                    focal_row,
                    centre_column,
                    centre_row,
                    max_slope,
                    hole_weight,
                    damping,
                    target_share,
                ]
            )],
        },
    ]
}

fn parsed(shader: &Shader) -> naga::Module {
    naga::front::wgsl::parse_str(shader.source)
        .unwrap_or_else(|e| panic!("{}: {}", shader.file, e.emit_to_string(shader.source)))
}

#[test]
fn every_shader_file_is_listed_here() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        // `shared` holds parts that stand before several of them.
        .filter(|entry| !entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut listed: Vec<_> = shaders().iter().map(|s| s.file.to_string()).collect();
    listed.sort();
    assert_eq!(files, listed);
}

#[test]
fn shaders_are_valid() {
    for shader in shaders() {
        let module = parsed(&shader);
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        );
        if let Err(error) = validator.validate(&module) {
            panic!("{}: {}", shader.file, error.emit_to_string(shader.source));
        }
        let names: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, shader.entry_points, "{}", shader.file);
    }
}

#[test]
fn bindings_are_what_the_wrappers_bind() {
    for shader in shaders() {
        let module = parsed(&shader);
        let mut bindings: Vec<(u32, Access)> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let access = match variable.space {
                    naga::AddressSpace::Uniform => Access::Uniform,
                    naga::AddressSpace::Storage { access }
                        if access.contains(naga::StorageAccess::STORE) =>
                    {
                        Access::ReadWrite
                    }
                    naga::AddressSpace::Storage { .. } => Access::Read,
                    _ => return None,
                };
                let binding = variable.binding.as_ref().expect("a resource has a binding");
                assert_eq!(binding.group, 0, "{}: one bind group", shader.file);
                Some((binding.binding, access))
            })
            .collect();
        bindings.sort_by_key(|(binding, _)| *binding);
        let expected: Vec<(u32, Access)> = (0..).zip(shader.bindings.iter().copied()).collect();
        assert_eq!(bindings, expected, "{}", shader.file);
    }
}

#[test]
fn structs_are_laid_out_as_in_rust() {
    for shader in shaders() {
        let module = parsed(&shader);
        for layout in &shader.structs {
            let (members, span) = module
                .types
                .iter()
                .find_map(|(_, ty)| match &ty.inner {
                    naga::TypeInner::Struct { members, span }
                        if ty.name.as_deref() == Some(layout.name) =>
                    {
                        Some((members, *span))
                    }
                    _ => None,
                })
                .unwrap_or_else(|| panic!("{}: no struct {}", shader.file, layout.name));
            let in_shader: Vec<_> = members
                .iter()
                .map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize))
                .collect();
            let in_rust: Vec<_> =
                layout.members.iter().map(|(name, offset)| (name.to_string(), *offset)).collect();
            assert_eq!(in_shader, in_rust, "{}: {}", shader.file, layout.name);
            assert_eq!(span as usize, layout.size, "{}: size of {}", shader.file, layout.name);
        }
    }
}
