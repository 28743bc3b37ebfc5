"""What a stranger's tools find in synthetic sets: who it is, and what the labels say.

    studio_signal.py identity IDEAL_SET [OTHER_IDEAL_SET] [--plot distances.png]
    studio_signal.py traits SET MAPS

`identity`: nearest neighbour on the true depth of neutral faces turned by at most 8 degrees, between
sessions, and how far people are apart; beside those of another source of faces.
`traits`: logistic regressions on 48 x 48 albedo and normals of people whom they have not seen.
Needs numpy, scipy, scikit-learn, pillow, OpenEXR (and matplotlib for the plot).
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import OpenEXR
from PIL import Image
from scipy.interpolate import griddata
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

# Landmarks that no expression moves: bridge and wings of the nose, corners of the eyes.
RIGID = (27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45)
# Millimetres about their middle, 2 mm apart.
GRID_X, GRID_Y = np.meshgrid(np.arange(-36.0, 37.0, 2.0), np.arange(42.0, -69.0, -2.0))
# Differences beyond this count no more: outlines fall on either side.
CLIP_MM = 4.0
SIDE = 48


def exr(path):
    with OpenEXR.File(str(path)) as file:
        planes = [np.array(channel.pixels) for channel in file.channels().values()]
    return planes[0]


def table(root):
    with open(root / "metadata.csv") as file:
        return list(csv.DictReader(file))


def rotation(yaw, pitch, roll):
    """Head to camera: roll, then pitch, then yaw, as scene.json has them."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in np.radians([yaw, pitch, roll]))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def frontal_depth(truth):
    """Depth in mm of skin and eyes, turned to the front, on the grid; NaN where nothing was seen."""
    scene = json.loads((truth / "scene.json").read_text())
    view = scene["rig"]["view"].get("Orthographic")
    if view is None:
        sys.exit(f"{truth}: seen in perspective; give a set of the preset ideal")
    mm, (middle_x, middle_y) = view["mm_per_px"], view["centre_px"]
    depth = exr(truth / "depth.exr") * mm
    parts = np.asarray(Image.open(truth / "parts.png"))
    rows, columns = np.nonzero((parts <= 1) & np.isfinite(depth))
    to_head = rotation(*scene["yaw_pitch_roll_deg"])

    def place(column, row, z):
        return np.stack([(column - middle_x) * mm, (middle_y - row) * mm, z], -1) @ to_head

    points = place(columns, rows, depth[rows, columns])
    marks = json.loads((truth / "landmarks.json").read_text())
    marks = np.array([[marks[i]["column"], marks[i]["row"]] for i in RIGID])
    near = np.clip(marks.round().astype(int), 0, [depth.shape[1] - 1, depth.shape[0] - 1])
    # A depth map has no absolute distance: centred on the rigid landmarks.
    points -= np.nanmedian(place(*marks.T, depth[near[:, 1], near[:, 0]]), 0)
    grid = np.stack([GRID_X, GRID_Y - 12.0], -1)
    found = griddata(points[:, :2], points[:, 2], grid)
    off, _ = cKDTree(points[:, :2]).query(grid.reshape(-1, 2))
    found[(off > 1.6 * mm).reshape(found.shape)] = np.nan
    return found.ravel()


def neutral_faces(root):
    faces, people = [], []
    for row in table(root):
        if row["Pose"] == "1" and row["Emotion"] == "blankstare":
            faces.append(frontal_depth(root / row["id"] / row["session"] / "truth"))
            people.append(row["id"])
    return np.array(faces), np.array(people)


def distances_mm(faces):
    found = np.full((len(faces), len(faces)), np.inf)
    for i, face in enumerate(faces):
        off = faces - face
        off -= np.nanmedian(off, axis=1, keepdims=True)
        found[i] = np.nanmean(np.minimum(np.abs(off), CLIP_MM), axis=1)
        found[i, i] = np.inf
    return found


def between_and_within(root):
    faces, people = neutral_faces(root)
    distances = distances_mm(faces)
    same = people[:, None] == people[None]
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    again = np.array([(people == person).sum() > 1 for person in people])
    right = people[distances.argmin(1)] == people
    if again.any():
        print(f"{root}: {again.sum()} neutral frontal faces of {len(set(people[again]))} people,"
              f" nearest neighbour right: {right[again].mean():.4f}")
    return distances[upper & ~same], distances[upper & same]


def identity(root, other, plot):
    between, within = between_and_within(root)
    shares = (0.01, 0.1, 0.5, 0.9, 0.99)
    sets = [("within a person", within)] if len(within) else []
    sets.append(("between people", between))
    if other:
        sets.append(("between people of the other source", between_and_within(other)[0]))
    for name, values in sets:
        print(f"{name}, mm at {shares}: {np.quantile(values, shares).round(2)}")
    if other:
        print(f"ratio of medians: {np.median(sets[-2][1]) / np.median(sets[-1][1]):.3f}")
    if plot:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(7, 3.2))
        for name, values in sets:
            axes.hist(values, np.linspace(0, CLIP_MM, 81), density=True, alpha=0.5, label=name)
        axes.set(xlabel="mean depth difference of two faces, mm", ylabel="density", xlim=(0, CLIP_MM))
        axes.legend(frameon=False)
        figure.tight_layout()
        figure.savefig(plot, dpi=110)


def crop(truth, planes):
    """Planes brought onto a square by eyes and mouth, 48 pixels a side."""
    marks = json.loads((truth / "landmarks.json").read_text())
    marks = np.array([[mark["column"], mark["row"]] for mark in marks])
    left, right = marks[36:42].mean(0), marks[42:48].mean(0)
    middle = 0.5 * (0.5 * (left + right) + marks[48:68].mean(0))
    along = right - left
    down = np.array([-along[1], along[0]])
    # Two and a half distances of the eyes, at least the drop from eyes to mouth: nobody is cut.
    size = max(2.5 * np.hypot(*along), 2.2 * np.hypot(*(marks[48:68].mean(0) - 0.5 * (left + right))))
    along, down = size * along / np.hypot(*along), size * down / np.hypot(*down)
    steps = (np.arange(2 * SIDE) + 0.5) / (2 * SIDE) - 0.5
    x, y = np.meshgrid(steps, steps)
    at = middle + x[..., None] * along + y[..., None] * down
    fine = [map_coordinates(plane, [at[..., 1], at[..., 0]], order=1, mode="nearest") for plane in planes]
    return [plane.reshape(SIDE, 2, SIDE, 2).mean((1, 3)) for plane in fine]


def traits(root, maps):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, rows = [], []
    for row in table(root):
        folder = maps / row["id"] / row["session"]
        if not (folder / "normals.exr").exists():
            continue
        normals, albedo = np.nan_to_num(exr(folder / "normals.exr")), np.nan_to_num(exr(folder / "albedo.exr"))
        # Exposure is nobody's trait.
        albedo = np.log(np.clip(albedo / np.median(albedo[albedo > 0]), 0.05, 5.0))
        planes = [albedo, *np.moveaxis(normals, -1, 0)]
        features.append(np.stack(crop(root / row["id"] / row["session"] / "truth", planes)).ravel())
        rows.append(row)
    features = np.array(features)
    people = np.array([row["id"] for row in rows])
    if len(set(people)) < 40:
        sys.exit(f"{maps}: {len(set(people))} people with maps and truth; 40 or more tell something")
    questions = {
        "spectacles": lambda row: row["Spectacles"] == "yes",
        "facial hair": lambda row: row["Facial_Hair"] != "none",
        "gender": lambda row: row["Gender"] == "female",
        "emotion": lambda row: row["Emotion"] != "blankstare",
        "emotion: positive": lambda row: row["Emotion"] == "positive",
    }
    for name, question in questions.items():
        truth = np.array([question(row) for row in rows], dtype=int)
        scores = np.zeros(len(truth))
        for train, test in GroupKFold(4).split(features, truth, people):
            inner = list(GroupKFold(4).split(features[train], truth[train], people[train]))
            model = make_pipeline(
                StandardScaler(),
                PCA(min(400, len(train) // 2), random_state=0),
                LogisticRegressionCV(
                    Cs=np.logspace(-5, -1, 5), cv=inner, scoring="roc_auc", max_iter=500, class_weight="balanced"
                ),
            )
            model.fit(features[train], truth[train])
            scores[test] = model.decision_function(features[test])
        print(f"{name}: AUC {roc_auc_score(truth, scores):.3f} ({truth.mean():.1%} of {len(truth)})", flush=True)


def main():
    arguments = sys.argv[1:]
    plot = None
    if "--plot" in arguments:
        at = arguments.index("--plot")
        plot = arguments[at + 1] if at + 1 < len(arguments) else sys.exit(__doc__)
        del arguments[at : at + 2]
    paths = [Path(argument) for argument in arguments[1:]]
    if arguments[:1] == ["identity"] and len(paths) in (1, 2):
        identity(paths[0], paths[1] if len(paths) == 2 else None, plot)
    elif arguments[:1] == ["traits"] and len(paths) == 2:
        traits(*paths)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
