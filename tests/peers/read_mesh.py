"""Opens a mesh with trimesh and compares it with what was meant to be written.

    python tests/peers/read_mesh.py MESH TRUTH.json     (needs trimesh and numpy)

Fails with a message at the first difference.
"""

import json
import sys

import numpy as np
import trimesh


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def same(what, got, want, tolerance):
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    assert got.shape == want.shape, f"{what}: {got.shape}, not {want.shape}"
    off = np.abs(got - want).max()
    assert off <= tolerance, f"{what}: off by {off}"


def main(path, truth_path):
    with open(truth_path) as file:
        truth = json.load(file)
    # As a scene: loading a single mesh drops its normals.
    [mesh] = trimesh.load_scene(path, process=False, maintain_order=True).geometry.values()
    same("positions", mesh.vertices, truth["positions"], 1e-6)
    same("triangles", mesh.faces, truth["triangles"], 0)
    # Those that trimesh would compute from the triangles differ by a thousandth and more.
    same("normals", mesh.vertex_normals, truth["normals"], 1e-6)
    # A glTF file holds linear colours beside its material, the others encoded ones of 8 bits.
    if path.endswith(".glb"):
        same("colours", mesh.visual.vertex_attributes["color"], truth["colours"], 1e-6)
    else:
        # Half a step of 255, where the curve is steepest: 2.28 at 1.
        colours = linear(mesh.visual.vertex_colors[:, :3] / 255)
        same("colours", colours, truth["colours"], 0.6 * 2.28 / 255)
    assert (mesh.face_normals[:, 2] > 0).all(), "a triangle faces away from the viewer"


main(*sys.argv[1:])
