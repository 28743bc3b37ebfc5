"""Renders scenes with Mitsuba 3 and compares them with what lumiface made of them.

    python tests/peers/render_reference.py FOLDER     (needs mitsuba and numpy)

FOLDER holds scene.json, the meshes it names and, for each case, NAME.f32: two images (height, width,
3) of 32-bit floats, with and without cast shadows, where 1 is a white matte surface facing the light
at its reference distance; then (height, width) numbers that are 1 on the head. `cargo test --test render_reference -- --ignored` writes it and calls this.
Prints a line a case and fails where the two renderers disagree.
"""

import json
import math
import sys
from pathlib import Path

import mitsuba as mi
import numpy as np

# Largest median relative difference of the shading, largest share of pixels whose shadow differs.
SHADING = 0.005
SHADOWS = 0.005


def mesh(path, bsdf):
    return {"type": "ply", "filename": str(path), "bsdf": {"type": "twosided", "inner": bsdf}}


def render(folder, scene, case):
    colour = {"type": "mesh_attribute", "name": "vertex_color"}
    matte = {"type": "diffuse", "reflectance": colour}
    # A conductor without a material reflects everything: Fresnel's term is 1.
    mirror = {"type": "roughconductor", "material": "none", "distribution": "ggx", "alpha": scene["roughness"]}
    fov = 2 * math.degrees(math.atan(scene["width"] / 2 / scene["focal_px"]))
    look = mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, -1], up=[0, 1, 0])
    # A white surface facing the light at the reference distance shall reflect radiance 1.
    intensity = math.pi * case["reference_mm"] ** 2
    loaded = mi.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 2},
        "sensor": {
            "type": "perspective",
            "fov": fov,
            "fov_axis": "x",
            "to_world": look,
            "near_clip": 1.0,
            "far_clip": 1e5,
            "film": {
                "type": "hdrfilm",
                "width": scene["width"],
                "height": scene["height"],
                "rfilter": {"type": "box"},
                "pixel_format": "rgb",
                "component_format": "float32",
            },
            "sampler": {"type": "stratified", "sample_count": 256},
        },
        "light": {"type": "point", "position": case["position_mm"], "intensity": intensity},
        "head": mesh(folder / (case["mesh"] + ".ply"), matte if case["mesh"] == "matte" else mirror),
        "wall": mesh(folder / "wall.ply", matte),
    })
    return np.array(mi.render(loaded))


def main(folder):
    folder = Path(folder)
    mi.set_variant("scalar_rgb")
    mi.set_log_level(mi.LogLevel.Error)
    scene = json.loads((folder / "scene.json").read_text())
    good = True
    for case in scene["cases"]:
        size = (scene["height"], scene["width"])
        values = np.fromfile(folder / (case["name"] + ".f32"), "<f4")
        ours, unshadowed = values[: 6 * size[0] * size[1]].reshape(2, *size, 3)
        on_head = values[6 * size[0] * size[1] :].reshape(size) > 0.5
        theirs = render(folder, scene, case)
        bright = unshadowed.mean(axis=2) > 0.05
        lit = bright & on_head & (ours.mean(axis=2) > 0.9 * unshadowed.mean(axis=2))
        relative = np.abs(ours - theirs)[lit] / theirs[lit].clip(1e-6)
        dark_ours = ours.mean(axis=2)[bright] < 0.5 * unshadowed.mean(axis=2)[bright]
        dark_theirs = theirs.mean(axis=2)[bright] < 0.5 * unshadowed.mean(axis=2)[bright]
        differ = (dark_ours != dark_theirs).mean()
        print(
            f"{case['name']:>12}: {lit.sum()} lit pixels of the head, relative difference median {np.median(relative):.5f}, "
            f"95th percentile {np.percentile(relative, 95):.5f}; {dark_ours.mean():.3f} in shadow, "
            f"{differ:.5f} differ"
        )
        good &= bool(np.median(relative) <= SHADING and differ <= SHADOWS and dark_ours.any() and lit.sum() > 500)
    sys.exit(0 if good else "the renderings differ")


if __name__ == "__main__":
    main(sys.argv[1])
