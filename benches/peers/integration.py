"""The masked least squares of benches/integration.rs in SciPy, for comparison in one session.

    python benches/peers/integration.py     (needs numpy and scipy)

Prints a line each: conjugate gradients with a Jacobi preconditioner, and a sparse direct solve,
on the 512x512 face outline with noisy normals.
"""

import time

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import cg, spsolve


def problem(height, width):
    row, column = np.mgrid[:height, :width]
    x, y = (column + 0.5) / width * 2 - 1, (row + 0.5) / height * 2 - 1
    mask = np.hypot(x / 0.75, y / 0.97) < 1
    for eye in (0.3, -0.3):
        mask &= np.hypot(x - eye, y + 0.2) >= 0.03
    mask &= ~((y < -0.7) & (column // 3 % 4 == 0))
    noise = np.random.default_rng(1).random((2, height, width))
    normals = np.stack(
        [
            0.8 * np.sin(column * 0.013) + 0.3 * (noise[0] - 0.5),
            0.8 * np.cos(row * 0.017) + 0.3 * (noise[1] - 0.5),
            np.ones((height, width)),
        ],
        -1,
    )
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)

    index = np.full((height, width), -1)
    index[mask] = np.arange(mask.sum())
    rows, weights, steps = [], [], []
    for axis, (p, q) in enumerate([(np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])]):
        both = mask[p] & mask[q]
        m = (normals[p] + normals[q])[both]
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
        tilt = -m[:, 1] if axis else m[:, 0]
        rows.append(np.stack([index[p][both], index[q][both]], -1))
        weights.append(m[:, 2] ** 4 / (tilt**2 + m[:, 2] ** 2))
        steps.append(-tilt / m[:, 2])
    rows, weights, steps = np.concatenate(rows), np.concatenate(weights), np.concatenate(steps)
    edges = np.arange(len(rows))
    gradient = sp.csr_matrix(
        (
            np.concatenate([-np.ones(len(rows)), np.ones(len(rows))]),
            (np.concatenate([edges, edges]), np.concatenate([rows[:, 0], rows[:, 1]])),
        ),
        shape=(len(rows), mask.sum()),
    )
    matrix = (gradient.T @ sp.diags(weights) @ gradient).tocsr()
    return matrix, gradient.T @ (weights * steps)


def report(name, work, repetitions):
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(f"{name:<44} {1e3 * np.median(seconds):>9.1f} ms", flush=True)


def main():
    matrix, b = problem(512, 512)
    jacobi = sp.diags(1 / matrix.diagonal())
    report("SciPy cg, Jacobi, to 1e-5", lambda: cg(matrix, b, M=jacobi, rtol=1e-5), 1)
    # One pixel is held, so that the matrix has an inverse.
    held = matrix[1:, 1:].tocsc()
    report("SciPy spsolve", lambda: spsolve(held, b[1:]), 3)


main()
