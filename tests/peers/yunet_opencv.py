"""What OpenCV's FaceDetectorYN finds, as JSON on stdout. Needs opencv-python-headless.

    yunet_opencv.py detect ONNX FOLDER SCORE OVERLAP   faces of each PNG: {name: [[x, y, w, h, five
                                                       points, score]]}
    yunet_opencv.py time ONNX FILE N T                 milliseconds of N searches of one picture by T
                                                       threads, after one to warm up, and the most MiB
"""

import json
import pathlib
import resource
import sys
import time

import cv2


def detector(onnx, picture, score, overlap):
    height, width = picture.shape[:2]
    return cv2.FaceDetectorYN.create(onnx, "", (width, height), score, overlap, 5000)


def detect(onnx, folder, score, overlap):
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.png")):
        picture = cv2.imread(str(path))
        _, faces = detector(onnx, picture, float(score), float(overlap)).detect(picture)
        found[path.name] = [] if faces is None else faces.astype(float).tolist()
    return found


def times(onnx, file, count, threads):
    cv2.setNumThreads(int(threads))
    picture = cv2.imread(file)
    network = detector(onnx, picture, 0.7, 0.3)
    taken = []
    for _ in range(int(count) + 1):
        start = time.perf_counter()
        network.detect(picture)
        taken.append(1000 * (time.perf_counter() - start))
    return {"ms": taken[1:], "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    json.dump({"detect": detect, "time": times}[what](*rest), sys.stdout)
