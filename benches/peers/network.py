"""The multi-task network of src/model in PyTorch, for comparison in the same session.

    python benches/peers/network.py                 beside `cargo bench --bench network`
    python benches/peers/network.py --channels-last the layout that may suit large images better
    python benches/peers/network.py --device cuda   on a GPU
    python benches/peers/network.py --onestep       one training step a size, no warm-up
    python benches/peers/network.py --check FILE    against reference values (safetensors)
    python benches/peers/network.py --save FILE     the generated weights as a .pth file

Needs torch and numpy, and Linux for the peak memory. Prints one JSON object a line: MIResNet18 with
five tasks and 200 identities, batch 16, each case in a process of its own. `forward` is evaluation;
`gradients` is forward, MagFace and the ten focal losses, and backward, what that bench calls a training
step; `training step` is these and AdamW's step. `peak_mib` is the process's peak of resident memory,
`libraries_mib` what it had when only libraries were loaded. Modules bear the original's names, so that
`state_dict()` has its keys in its order, and PyTorch's counters of batches besides.

Weights and input are generated from a seed and each tensor's name, as the reference values want it.
"""

import argparse
import json
import multiprocessing
import sys
import time
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

BATCH = 16
# The tasks in the order in which they are split off: bit of the label, focal alpha and gamma of the two
# classes, weight of the loss.
TASKS = {
    "spectacles": (1, (0.28, 0.72), (0.0, 1.0), 5.0),
    "facial_hair": (2, (0.3, 0.7), (0.0, 1.0), 5.0),
    "emotion": (4, (0.232, 0.768), (0.0, 1.0), 10.0),
    "pose": (3, (0.0263, 0.9737), (0.0, 2.5), 30.0),
    "gender": (0, (0.916, 0.084), (2.0, 0.0), 30.0),
}
# The order in which the original made its heads.
HEADS = ["gender", "emotion", "facial_hair", "pose", "spectacles"]
SCALE, LENGTHS, MARGINS, LENGTH_WEIGHT = 64.0, (10.0, 110.0), (0.45, 0.8), 20.0


def convolution(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """The first block of a stage, which halves the image, or the second, which ends the stage."""

    def __init__(self, inputs, outputs, start):
        super().__init__()
        self.conv1 = convolution(inputs, outputs, 3, 2 if start else 1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU()
        self.conv2 = convolution(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if start:
            self.downsample = nn.Sequential(nn.MaxPool2d(3, 2, 1))
            if inputs != outputs:
                self.downsample.append(convolution(inputs, outputs, 1))
                self.downsample.append(nn.BatchNorm2d(outputs))

    def forward(self, x):
        if self.downsample is not None:
            out = self.conv2(self.prelu(self.bn1(self.conv1(x))))
            return self.bn2(out) + self.downsample(x)
        out = self.conv2(self.prelu(self.bn1(self.conv1(self.prelu(x)))))
        return self.prelu(self.bn2(out + x))


class FeatureSeparation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        cells = channels * (1 + 4 + 9)
        self.spatial = nn.Sequential(
            convolution(2, 1, 7), nn.BatchNorm2d(1, momentum=0.01), nn.Sigmoid()
        )
        self.channel = nn.Sequential(
            convolution(cells, cells // 16, 1),
            nn.ReLU(),
            convolution(cells // 16, channels, 1),
            nn.BatchNorm2d(channels, momentum=0.01),
            nn.Sigmoid(),
        )

    def forward(self, x):
        """Returns the task's features and what remains."""
        levels = [F.adaptive_avg_pool2d(x, n) + F.adaptive_max_pool2d(x, n) for n in (1, 2, 3)]
        pooled = torch.cat([level.reshape(len(x), -1, 1, 1) for level in levels], 1)
        places = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        own = (x * self.channel(pooled) + x * self.spatial(places)) / 2
        return own, x - own


class Backbone(nn.Module):
    """iResNet18, and the five separations; its classifier serves nothing."""

    def __init__(self, shared_emotion):
        super().__init__()
        self.conv1 = convolution(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        inputs = 64
        for number, outputs in enumerate([64, 128, 256, 512], 1):
            blocks = Block(inputs, outputs, True), Block(outputs, outputs, False)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = outputs
        self.fc = nn.Linear(512, 1000)
        for task in TASKS:
            self.add_module(f"{task}_fsm", FeatureSeparation(512))
        # A slip of the original: emotion was split off by another task's separation.
        self.separations = {task: task for task in TASKS}
        if shared_emotion:
            self.separations["emotion"] = "facial_hair"

    def forward(self, images):
        """Returns each task's features and what remains after it."""
        rest = self.prelu(self.bn1(self.conv1(images)))
        for number in range(1, 5):
            rest = self.get_submodule(f"layer{number}")(rest)
        split = {}
        for task, separation in self.separations.items():
            own, rest = self.get_submodule(f"{separation}_fsm")(rest)
            split[task] = own, rest
        return split


class Head(nn.Module):
    def __init__(self, task):
        super().__init__()
        self.stem = "spectacle" if task == "spectacles" else task
        pooling = nn.BatchNorm2d(512), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.add_module(f"{self.stem}_embedding", nn.Sequential(*pooling))
        self.add_module(f"{self.stem}_linear", nn.Linear(512, 2))

    def forward(self, x):
        embedding = self.get_submodule(f"{self.stem}_embedding")(x)
        return embedding, self.get_submodule(f"{self.stem}_linear")(embedding)


class MagLinear(nn.Module):
    def __init__(self, identities):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(512, identities) / 512**0.5)

    def forward(self, embedding):
        """Returns the cosines, those with the margin, and the clamped lengths."""
        length = embedding.norm(dim=1, keepdim=True).clamp(*LENGTHS)
        cosine = (F.normalize(embedding) @ F.normalize(self.weight, dim=0)).clamp(-1, 1)
        share = (length - LENGTHS[0]) / (LENGTHS[1] - LENGTHS[0])
        margin = MARGINS[0] + (MARGINS[1] - MARGINS[0]) * share
        sine = (1 - cosine**2).clamp_min(1e-12).sqrt()
        with_margin = cosine * margin.cos() - sine * margin.sin()
        return cosine, torch.where(cosine > 0, with_margin, cosine), length


class IdentityHead(nn.Module):
    def __init__(self, identities):
        super().__init__()
        pooling = nn.BatchNorm2d(512), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.id_embedding = nn.Sequential(*pooling)
        self.maglinear = MagLinear(identities)

    def forward(self, x):
        return self.id_embedding(x)


class ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x.view_as(x)

    @staticmethod
    def backward(_, gradient):
        return -gradient


class Network(nn.Module):
    def __init__(self, identities, shared_emotion=False):
        super().__init__()
        self.backbone = Backbone(shared_emotion)
        self.id_head = IdentityHead(identities)
        for prefix in ("", "da_"):
            for task in HEADS:
                self.add_module(f"{prefix}{task}_head", Head(task))

    def forward(self, images):
        """Returns the identity, and each task's embedding, logits and adversary's logits."""
        tasks = {}
        for task, (own, rest) in self.backbone(images).items():
            embedding, logits = self.get_submodule(f"{task}_head")(own)
            adversary = self.get_submodule(f"da_{task}_head")
            _, adversarial_logits = adversary(ReverseGradient.apply(rest))
            tasks[task] = embedding, logits, adversarial_logits
        return self.id_head(rest), tasks


def focal(logits, labels, alpha, gamma):
    log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
    missed = (1 - log_p.exp()).clamp_min(1e-7)
    of_label = [torch.tensor(values, device=labels.device)[labels] for values in (alpha, gamma)]
    return -(of_label[0] * missed ** of_label[1] * log_p).mean()


def magface(network, embedding, labels):
    cosine, with_margin, length = network.id_head.maglinear(embedding)
    true = F.one_hot(labels, cosine.shape[1]).bool()
    cross_entropy = F.cross_entropy(SCALE * torch.where(true, with_margin, cosine), labels)
    return cross_entropy + LENGTH_WEIGHT * (length / LENGTHS[1] ** 2 + 1 / length).mean()


def all_losses(network, images):
    """Every loss by its name, `total` the weighted sum."""
    embedding, tasks = network(images)
    sample = torch.arange(len(images), device=images.device)
    losses = {"id": magface(network, embedding, sample % network.id_head.maglinear.weight.shape[1])}
    total = losses["id"]
    for task, (_, logits, adversarial_logits) in tasks.items():
        bit, alpha, gamma, weight = TASKS[task]
        for kind, said in [("task", logits), ("adversarial", adversarial_logits)]:
            loss = focal(said, sample >> bit & 1, alpha, gamma)
            losses[f"{kind}.{task}"] = loss
            total = total + weight * loss
    return losses | {"total": total}


def uniform(seed, name, shape):
    """Values in 0..1 that follow from the seed and the name: splitmix64 of a counter."""
    key = np.uint64(zlib.crc32(f"{seed}:{name}".encode()) << 32)
    z = np.arange(np.prod(shape), dtype=np.uint64) + key + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)) / 2.0**24).reshape(shape)


def generated(seed, name, shape):
    u = uniform(seed, name, shape)
    if name.endswith("running_mean"):
        return 0.2 * (u - 0.5)
    if name.endswith("running_var"):
        return 0.5 + u
    if len(shape) == 4:
        return 2 * (u - 0.5) * np.sqrt(3 / np.prod(shape[1:]))
    if len(shape) == 2:
        inputs = shape[0] if name.endswith("maglinear.weight") else shape[1]
        return 2 * (u - 0.5) / np.sqrt(inputs)
    if "prelu" in name:
        return 0.1 + 0.3 * u
    return 0.2 * (u - 0.5) if name.endswith(".bias") else 0.5 + u


def make_network(seed, identities, id_bn_scale=1.0, shared_emotion=False):
    network = Network(identities, shared_emotion)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        values = generated(seed, name, tuple(tensor.shape))
        if name in ("id_head.id_embedding.0.weight", "id_head.id_embedding.0.bias"):
            values = values * id_bn_scale
        tensor.copy_(torch.from_numpy(values))
    return network


def make_images(seed, batch, side):
    return torch.from_numpy(uniform(seed, "input", (batch, 3, side, side)).astype(np.float32))


def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    metadata = header.pop("__metadata__")
    types = {"F32": "<f4", "F64": "<f8"}
    tensors = {}
    for name, entry in header.items():
        values = np.frombuffer(data[slice(*entry["data_offsets"])], types[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return metadata, tensors


def check(path, save):
    """Compares with reference values; returns whether all agree."""
    metadata, reference = read_safetensors(path)
    seed, classes = int(metadata["seed"]), int(metadata["num_classes"])
    shared = metadata["emotion_module"] != "own"
    network = make_network(seed, classes, float(metadata["id_bn_scale"]), shared)
    if save:
        torch.save(network.state_dict(), save)
    images = make_images(seed, int(metadata["batch"]), int(metadata["size"]))
    got = {}
    with torch.no_grad():
        embedding, tasks = network.eval()(images)
        for task, values in tasks.items():
            for kind, value in zip(("embedding", "logits", "adversarial_logits"), values):
                got[f"eval.{kind}.{task}"] = value
        got["eval.embedding.id"] = embedding
        names = "cos_theta", "cos_theta_margin", "norm_clamped"
        for name, value in zip(names, network.id_head.maglinear(embedding)):
            got[f"eval.id.{name}"] = value
    losses = all_losses(network.train(), images)
    losses["total"].backward()
    got |= {f"train.loss.{name}": loss.detach().reshape(1) for name, loss in losses.items()}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            got[f"train.grad_norm.{name}"] = parameter.grad.norm().reshape(1)

    agree = got.keys() == reference.keys()
    if not agree:
        print("in one of the two alone:", sorted(got.keys() ^ reference.keys()))
    # Slopes are sums over a million signed products: rounding moves a few of them by a thousandth.
    for kind, tolerance in [("eval", 1e-4), ("train.loss", 1e-4), ("train.grad_norm", 1e-2)]:
        errors = {}
        for name in got.keys() & reference.keys():
            if name.startswith(kind + "."):
                want, value = reference[name], got[name].numpy()
                # As the tests of ours take it: of a tensor's largest value, at least 1.
                scale = max(1.0, abs(want).max()) if kind == "eval" else abs(want).max()
                wrong_shape = value.size != want.size
                error = np.inf if wrong_shape else abs(value.ravel() - want.ravel()).max() / scale
                errors[name] = float(error)
        worst = max(errors, key=errors.get)
        agree &= errors[worst] <= tolerance
        line = {"check": kind, "values": len(errors), "worst": worst, "error": errors[worst]}
        print(json.dumps(line | {"above_1e-3": sum(e > 1e-3 for e in errors.values())}))
    return agree


def memory(key):
    """VmHWM, the peak, or VmRSS of this process in MiB."""
    with open("/proc/self/status") as file:
        [line] = [line for line in file if line.startswith(key + ":")]
    return round(int(line.split()[1]) / 1024)


def measure(part, side, options):
    """One case, in a process of its own: its peak memory is that case's."""
    torch.set_num_threads(options.threads)
    # What PyTorch's libraries take; a build for GPUs has several times as many of them.
    before = memory("VmRSS")
    network = make_network(options.seed, options.identities)
    images = make_images(options.seed, BATCH, side).to(options.device)
    network = network.to(options.device)
    layout = ""
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        layout = " channels last"
    # The arithmetic is the same at a rate of 0, and every step has the same loss.
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, fused=True)
    network.train(part != "forward")

    def forward():
        with torch.no_grad():
            return network(images)[0].sum()

    def gradients():
        optimizer.zero_grad()
        loss = all_losses(network, images)["total"]
        loss.backward()
        return loss

    def training_step():
        loss = gradients()
        optimizer.step()
        return loss

    work = {"forward": forward, "gradients": gradients, "training step": training_step}[part]
    # The first run warms up.
    runs = 1 if options.onestep else 1 + options.repeats
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        value = work().item()
        seconds.append(time.perf_counter() - start)
    seconds = sorted(seconds[-options.repeats :])
    quartile = [seconds[int((len(seconds) - 1) * share + 0.5)] for share in (0.25, 0.5, 0.75)]
    line = {
        "name": f"{side}²{layout} {part}",
        "images_per_second": round(BATCH / quartile[1], 2),
        # Half the distance of the quartiles, of the median.
        "spread_percent": round(50 * (quartile[2] - quartile[0]) / quartile[1], 1),
        "median_seconds": round(quartile[1], 4),
        "repeats": len(seconds),
        "peak_mib": memory("VmHWM"),
        "libraries_mib": before,
        # Sum of the embeddings, or the loss.
        "value": round(value, 4),
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", metavar="FILE")
    parser.add_argument("--save", metavar="FILE", help="with --check: that reference's weights")
    parser.add_argument("--onestep", action="store_true")
    parser.add_argument("--channels-last", action="store_true", help="(b, h, w, c) in memory")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 256])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--identities", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    instructions = torch.backends.cpu.get_cpu_capability()
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {instructions}", flush=True)
    if options.check:
        sys.exit(0 if check(options.check, options.save) else "the values differ")
    if options.save:
        torch.save(make_network(options.seed, options.identities).state_dict(), options.save)
        return
    for side in options.sizes:
        parts = ["training step"] if options.onestep else ["forward", "gradients", "training step"]
        for part in parts:
            work = multiprocessing.get_context("spawn").Process(
                target=measure, args=(part, side, options)
            )
            work.start()
            work.join()
            if work.exitcode != 0:
                sys.exit(f"{side}² {part}: the process ended with {work.exitcode}")


if __name__ == "__main__":
    main()
