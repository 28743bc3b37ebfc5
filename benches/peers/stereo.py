"""The work of benches/stereo.rs in NumPy and SciPy, for comparison in the same session.

    python benches/peers/stereo.py     (needs numpy and scipy)

Prints one JSON object a line: name, pixels, seconds of each repetition.
"""

import json
import os
import time

import numpy as np
import scipy.fft

REPETITIONS = 15
LIGHTS = np.array(
    [[0.38, -0.32, 0.87], [0.38, 0.32, 0.87], [-0.38, 0.32, 0.87], [-0.38, -0.32, 0.87]],
    dtype=np.float32,
)


def report(name, pixels, work, repetitions=REPETITIONS):
    work()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"name": name, "pixels": pixels, "seconds": seconds}), flush=True)


def dome(size, count):
    """benches/stereo.rs's dome: (count, size²) bytes and the light matrix."""
    azimuth = 2 * np.pi * np.arange(count) / count
    zenith = np.radians(np.array([20.0, 40.0, 60.0]))[np.arange(count) % 3]
    lights = np.stack(
        [np.sin(zenith) * np.sin(azimuth), np.sin(zenith) * np.cos(azimuth), np.cos(zenith)], 1
    )
    place = np.arange(size) / size * 1.4 - 0.7
    x, y = np.meshgrid(place, -place)
    n = np.stack([x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))]).reshape(3, -1)
    half = lights + [0, 0, 1]
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    shade = 0.6 * np.maximum(lights @ n, 0) + 0.4 * np.maximum(half @ n, 0) ** 80
    return np.round(255 * shade).astype(np.uint8), lights


def l1_pixel(intensity, lights, smoothing=2e-4, tolerance=np.radians(0.01), rounds=60):
    """Iteratively reweighted least squares as src/stereo/l1.rs does it, one pixel."""
    believed = np.where(intensity <= 0.02 * intensity.max(), 1e-5, 1.0)
    weight = believed
    g = np.zeros(3)
    for _ in range(rounds + 1):
        weighted = lights.T * weight
        step = np.linalg.solve(weighted @ lights, weighted @ intensity) - g
        g = g + step
        if step @ step <= tolerance**2 * (g @ g):
            break
        weight = believed * smoothing / np.maximum(np.abs(intensity - lights @ g), smoothing)
    return g


def time_l1():
    """A loop over pixels, as such solvers are usually written; every 64th pixel of 256²."""
    images, lights = dome(256, 50)
    some = np.ascontiguousarray(images[:, ::64].T / 255.0)

    def loop():
        return [l1_pixel(intensity, lights) for intensity in some]

    report("l1 50x256x256", len(some), loop, repetitions=3)


def main():
    random = np.random.default_rng(1)
    inverse = np.linalg.pinv(LIGHTS).astype(np.float32)
    workers = os.cpu_count()
    for height, width in [(756, 564), (2048, 2048)]:
        size = f"{width}x{height}"
        images = random.integers(0, 256, (4, height * width), dtype=np.uint8)

        def pseudo_inverse():
            return inverse @ images.astype(np.float32)

        def solve():
            raw = images.astype(np.float32)
            g = inverse @ raw
            albedo = np.sqrt(np.einsum("ij,ij->j", g, g))
            difference = raw - LIGHTS @ g
            residual = np.sqrt(np.einsum("ij,ij->j", difference, difference) / 4) / 255
            with np.errstate(invalid="ignore"):
                normals = g / albedo
            return normals, albedo / 255, residual

        report(f"pseudo-inverse alone {size}", height * width, pseudo_inverse)
        report(f"solve 4x8 bit {size}", height * width, solve)

        p = random.standard_normal((height, width), dtype=np.float32)
        q = random.standard_normal((height, width), dtype=np.float32)
        a = (np.pi * np.arange(width, dtype=np.float32) / width)[None, :]
        b = (np.pi * np.arange(height, dtype=np.float32) / height)[:, None]
        denominator = a * a + b * b
        denominator[0, 0] = 1

        def integrate():
            # A sine transform starts at frequency 1: shift it by one place.
            p_uv = scipy.fft.dct(scipy.fft.dst(p, axis=1, workers=workers), axis=0, workers=workers)
            q_uv = scipy.fft.dst(scipy.fft.dct(q, axis=1, workers=workers), axis=0, workers=workers)
            sum_uv = np.zeros_like(p_uv)
            sum_uv[:, 1:] += a[:, 1:] * p_uv[:, :-1]
            sum_uv[1:, :] += b[1:, :] * q_uv[:-1, :]
            return scipy.fft.idctn(-sum_uv / denominator, workers=workers)

        report(f"integrate {size}", height * width, integrate)

        u = np.arange(width, dtype=np.float32)[None, :]
        v = np.arange(height, dtype=np.float32)[:, None]
        eigenvalues = 4 * np.sin(np.pi * u / (2 * width)) ** 2
        eigenvalues = eigenvalues + 4 * np.sin(np.pi * v / (2 * height)) ** 2
        eigenvalues[0, 0] = np.inf

        def poisson():
            # p and q are the differences across the edges behind each pixel.
            divergence = np.zeros((height, width), dtype=np.float32)
            divergence[:, :-1] += p[:, 1:]
            divergence[:, 1:] -= p[:, 1:]
            divergence[:-1, :] += q[1:, :]
            divergence[1:, :] -= q[1:, :]
            transform = scipy.fft.dctn(divergence, workers=workers)
            return scipy.fft.idctn(-transform / eigenvalues, workers=workers)

        report(f"poisson-dct {size}", height * width, poisson)
    time_l1()


main()
