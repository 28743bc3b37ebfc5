"""What facenet-pytorch finds, as JSON on stdout. Needs facenet-pytorch and Pillow; it asks for old
versions of torch, and runs with new ones: pip install --no-deps facenet-pytorch.

    mtcnn_facenet.py detect FOLDER   faces of each PNG: {name: [{edges, score, landmarks}]}
    mtcnn_facenet.py nets FOLDER     P-, R- and O-net on {pnet,rnet,onet}.json, each {shape, values}
                                     of (n, h, w, 3): rows of probability, shifts (and landmarks)
    mtcnn_facenet.py time FILE N T [DEVICE]
                                     milliseconds of N searches of one picture by T threads, after one
                                     to warm up, and the most MiB of memory; on cpu or cuda
"""

import json
import pathlib
import resource
import sys
import time

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image


def detect(detector, folder):
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        # It fails, where it could say that there is none, on pictures without any candidate.
        try:
            edges, scores, landmarks = detector.detect(picture, landmarks=True)
        except (RuntimeError, ValueError) as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            edges = None
        rows = [] if edges is None else zip(edges, scores, landmarks)
        found[path.name] = [
            {"edges": [float(v) for v in e], "score": float(s), "landmarks": np.float64(l).tolist()}
            for e, s, l in rows
        ]
    return found


def nets(detector, folder):
    out = {}
    for name in ["pnet", "rnet", "onet"]:
        given = json.loads((pathlib.Path(folder) / f"{name}.json").read_text())
        pictures = torch.tensor(given["values"]).reshape(given["shape"]).permute(0, 3, 1, 2)
        with torch.no_grad():
            shifts, *landmarks, scores = getattr(detector, name)(pictures)
        says = torch.cat([scores[:, 1:], shifts, *landmarks], dim=1)
        says = says.permute(0, 2, 3, 1) if says.dim() == 4 else says
        out[name] = says.double().flatten().tolist()
    return out


def times(detector, file, count):
    picture = np.asarray(Image.open(file).convert("RGB"))
    taken = []
    for _ in range(count + 1):
        start = time.perf_counter()
        detector.detect(picture, landmarks=True)
        taken.append(1000 * (time.perf_counter() - start))
    return {"ms": taken[1:], "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    detector = MTCNN(keep_all=True, device=rest[2] if len(rest) > 2 else "cpu")
    if what == "time":
        torch.set_num_threads(int(rest[1]))
        result = times(detector, where, int(rest[0]))
    else:
        result = {"detect": detect, "nets": nets}[what](detector, where)
    json.dump(result, sys.stdout)
