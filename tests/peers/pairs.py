"""The verification lists as Python reads, writes and judges them.

pairs.py write FOLDER: sets of encoded images in pickle protocols 0 to 5, and an LFW list.
pairs.py read FILE: checks a set that lumiface wrote, as InsightFace's load_bin reads it.
pairs.py judge FILE: the accuracy over folds of a JSON list of [similarity, same, fold].
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np

IMAGES = [bytes([255, 216, 0, 10, 39]), b"I", bytes(range(256)) * 300, b"\x89PNG"]
SAME = [True, False]


def best_threshold(similarities, same):
    """The middle of the widest interval of best accuracy, of all intervals between values."""
    values = np.unique(similarities)
    candidates = [(values[0], -1.0), (np.nextafter(values[-1], np.inf), -2.0)]
    candidates += [((a + b) / 2, b - a) for a, b in zip(values, values[1:])]
    right = lambda t: int(((similarities >= t) == same).sum())
    return max(candidates, key=lambda c: (right(c[0]), c[1], -c[0]))[0]


def judge(rows):
    similarities, same, folds = (np.array(column) for column in zip(*rows))
    same = same.astype(bool)
    accuracies = []
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = best_threshold(similarities[~inside], same[~inside])
        accuracies.append(((similarities[inside] >= threshold) == same[inside]).mean())
    accuracies = np.array(accuracies)
    return accuracies.mean(), accuracies.std(ddof=1) / np.sqrt(len(accuracies))


command, path = sys.argv[1], Path(sys.argv[2])
if command == "write":
    for protocol in range(6):
        file = path / f"protocol{protocol}.bin"
        file.write_bytes(pickle.dumps((IMAGES, SAME), protocol=protocol))
    (path / "integers.bin").write_bytes(pickle.dumps([IMAGES, [1, 0]]))
    (path / "arrays.bin").write_bytes(pickle.dumps((IMAGES, np.array(SAME))))
    lines = ["2\t1", "Ann\t1\t2", "Ann\t2\tBo\t1", "Bo\t1\t2", "Bo\t2\tAnn\t1"]
    (path / "pairs.txt").write_text("\n".join(lines) + "\n")
elif command == "read":
    with open(path, "rb") as file:
        images, same = pickle.load(file, encoding="bytes")
    assert images == IMAGES, [len(image) for image in images]
    assert all(type(image) is bytes for image in images)
    assert same == SAME and all(type(value) is bool for value in same), same
else:
    print(json.dumps(judge(json.loads(path.read_text()))))
