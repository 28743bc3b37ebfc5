"""Contact sheets of a synthetic set, for the guide.

    lumiface synth --people 120 --sessions 8 --seed 5 --no-truth --out captures
    python docs/images/make_sheets.py captures docs/images          (needs numpy and pillow)

studio-people.png: 24 people under four lamps. studio-traits.png: each label of the five traits, six
people each. studio-sessions.png: people over eight sessions. Values are stretched alike for all frames
of a session, since a rig like Photoface's exposes for a third of the scale.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

if len(sys.argv) != 3:
    sys.exit(__doc__)
root, out = Path(sys.argv[1]), Path(sys.argv[2])
with open(root / "metadata.csv") as file:
    rows = list(csv.DictReader(file))
people = sorted({row["id"] for row in rows})


def frames(row, numbers, side):
    raw = [np.asarray(Image.open(root / row["id"] / row["session"] / f"im{i}.png"), dtype=float) for i in range(4)]
    low, high = np.percentile(raw, 2), max(np.percentile(image, 99.5) for image in raw)
    for number in numbers:
        shown = np.clip((raw[number] - low) / max(high - low, 1.0), 0.0, 1.0) ** 0.75
        yield Image.fromarray((255 * shown).astype(np.uint8)).resize((side, side), Image.LANCZOS)


def sheet(name, lines, side, margin=0):
    """Lines of (caption, pictures)."""
    width = max(len(pictures) for _, pictures in lines)
    picture = Image.new("L", (margin + width * side, len(lines) * side))
    draw = ImageDraw.Draw(picture)
    for line, (caption, pictures) in enumerate(lines):
        draw.text((4, line * side + side // 2 - 6), caption, fill=255)
        for column, cell in enumerate(pictures):
            picture.paste(cell, (margin + column * side, line * side))
    # Sixty-four greys tell a face as well, in half the bytes.
    picture.quantize(64).save(out / name, optimize=True)


def clear(row):
    return row["Quality"] == "ok"


firsts = {}
for row in rows:
    if clear(row) and row["Pose"] in ("1", "2"):
        firsts.setdefault(row["id"], row)
firsts = list(firsts.values())[:24]
lines = [[cell for row in firsts[at : at + 3] for cell in frames(row, range(4), 92)] for at in range(0, len(firsts), 3)]
sheet("studio-people.png", [("", line) for line in lines], 92)

lines = []
for column, label in [
    *(("Gender", value) for value in ("male", "female")),
    *(("Spectacles", value) for value in ("no", "yes")),
    *(("Facial_Hair", value) for value in ("none", "stubble", "moustache", "beard", "both")),
    *(("Pose", value) for value in "12345"),
    *(("Emotion", value) for value in ("blankstare", "positive", "negative", "emoOther")),
]:
    found, seen = [], set()
    # Another trait would distract: plain in the others where there is a choice.
    plain = {"Pose": "1", "Emotion": "blankstare", "Spectacles": "no", "Facial_Hair": "none"}
    plain.pop(column, None)
    fitting = [row for row in rows if row[column] == label and clear(row)]
    fitting.sort(key=lambda row: sum(row[other] != value for other, value in plain.items()))
    for row in fitting:
        if row["id"] not in seen and len(found) < 6:
            seen.add(row["id"])
            found.extend(frames(row, [1], 92))
    lines.append((f"{column.replace('_', ' ').lower()} {label}", found))
sheet("studio-traits.png", lines, 92, margin=150)

varied = sorted(people, key=lambda person: -len({tuple(row[c] for c in ("Spectacles", "Emotion", "Pose")) for row in rows if row["id"] == person}))
lines = [
    ("", [cell for row in [r for r in rows if r["id"] == person][:8] for cell in frames(row, [2], 130)])
    for person in varied[:4]
]
sheet("studio-sessions.png", lines, 130)
