"""The peers of `benches/gallery.rs`: exact inner-product search by FAISS (IndexFlatIP), and by PyTorch's
matrix product in single precision and `topk` on a GPU, with the rows there already.

    pip install faiss-cpu
    python benches/peers/gallery.py --rows 1000000 --threads 2
    pip install torch
    python benches/peers/gallery.py --rows 1000000 --torch cuda

The same figures: seconds of a batch of 256 queries and of one query, top 10, after a warm-up,
median and half the distance of the quartiles. Random unit vectors, as in the bench. Both want a quiet
machine; beside other work set OMP_WAIT_POLICY=passive, or FAISS's threads wait for each other spinning.
"""

import argparse
import json
import time

import numpy as np


def unit_rows(random, rows, dim):
    values = np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, 65536):
        block = random.standard_normal((min(65536, rows - start), dim), dtype=np.float32)
        values[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return values


def faiss_search(rows, threads):
    import faiss

    faiss.omp_set_num_threads(threads)
    print(f"FAISS {faiss.__version__} ({faiss.get_compile_options().strip()}), {threads} threads")
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return lambda queries: index.search(queries, 10)


def torch_search(rows, device):
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"PyTorch {torch.__version__}, {name}")
    rows = torch.from_numpy(rows).to(device)

    def search(queries):
        found = torch.topk(torch.from_numpy(queries).to(device) @ rows.T, 10)
        return found.values.cpu(), found.indices.cpu()

    return search


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--torch", metavar="DEVICE", help="PyTorch there instead of FAISS")
    options = parser.parse_args()

    random = np.random.default_rng(1)
    rows = unit_rows(random, options.rows, options.dim)
    search = torch_search(rows, options.torch) if options.torch else faiss_search(rows, options.threads)
    for count in (256, 1):
        queries = unit_rows(random, count, options.dim)
        seconds = []
        for _ in range(1 + options.repeats):
            start = time.perf_counter()
            search(queries)
            seconds.append(time.perf_counter() - start)
        seconds = sorted(seconds[1:])
        quartile = [seconds[int((len(seconds) - 1) * share + 0.5)] for share in (0.25, 0.5, 0.75)]
        line = {
            "rows": options.rows,
            "queries": count,
            "median_seconds": round(quartile[1], 4),
            "spread_percent": round(50 * (quartile[2] - quartile[0]) / quartile[1], 1),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
