"""The PyTorch side of the comparison: one figure per process. `python torch_worker.py '{"case": "memcnn", …}'`.

It needs torch, memcnn and revlib, and nothing of keras_pdecnn; `against_pytorch.py` makes such an environment.
"""

import contextlib
import json
import pathlib
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def convolution(channels_in, channels_out, size=3):
    return nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=False)


def coupling(width):
    """F or G of an additive coupling: two 3x3 convolutions on half of the channels, no normalisation."""
    return nn.Sequential(convolution(width, width), nn.ReLU(), convolution(width, width))


def memcnn_block(steps, width):
    import memcnn

    return nn.Sequential(
        *(
            memcnn.InvertibleModuleWrapper(memcnn.AdditiveCoupling(coupling(width), coupling(width)))
            for _ in range(steps)
        )
    )


def revlib_block(steps, width):
    import revlib

    return revlib.ReversibleSequential(*(coupling(width) for _ in range(2 * steps)))


class HamiltonianStep(nn.Module):
    """One Verlet step of the paper's Hamiltonian network (eq. 10), K^T by the transposed convolution."""

    def __init__(self, width, h=1.0):
        super().__init__()
        self.h = h
        self.kernels = nn.ParameterList([nn.Parameter(torch.empty(width, width, 3, 3)) for _ in range(2)])
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(width, 1, 1)) for _ in range(2)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(width, 1, 1)) for _ in range(2)])
        for kernel in self.kernels:
            nn.init.kaiming_normal_(kernel)

    def field(self, index, y):
        u = functional.conv2d(y, self.kernels[index], padding=1)
        u = u * torch.rsqrt(u.square().sum(1, keepdim=True) + 1e-3)
        u = functional.relu(u * self.scales[index] + self.biases[index])
        return functional.conv_transpose2d(u, self.kernels[index], padding=1)

    def forward(self, state):
        y, z = state
        y = y - self.h * self.field(0, z)
        z = z + self.h * self.field(1, y)
        return y, z


class HamiltonianNetwork(nn.Module):
    """The paper's network for CIFAR-10: 264,106 weights."""

    def __init__(self, widths=(32, 64, 112), steps=3, classes=10):
        super().__init__()
        self.opening = nn.Sequential(convolution(3, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.blocks = nn.ModuleList(nn.ModuleList(HamiltonianStep(w // 2) for _ in range(steps)) for w in widths)
        following = (*widths[1:], widths[-1])
        self.connectors = nn.ModuleList(
            nn.Sequential(
                convolution(a, b, 1),
                nn.BatchNorm2d(b),
                nn.ReLU(),
                nn.AvgPool2d(2) if i < len(widths) - 1 else nn.Identity(),
            )
            for i, (a, b) in enumerate(zip(widths, following, strict=True))
        )
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x):
        y = self.opening(x)
        for block, connector in zip(self.blocks, self.connectors, strict=True):
            state = torch.chunk(y, 2, 1)
            for step in block:
                state = step(state)
            y = connector(torch.cat(state, 1))
        return self.classifier(y.mean((2, 3)))


class PeakMemory:
    """Peak memory of the GPU, or of the process (Linux), above the level at which it was started, in bytes."""

    def __init__(self):
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.start = torch.cuda.memory_allocated()
            return
        with contextlib.suppress(OSError):
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        self.start = self._peak()

    def _peak(self):
        if DEVICE == "cuda":
            return torch.cuda.max_memory_allocated()
        line = next(s for s in pathlib.Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def read(self):
        return self._peak() - self.start


def timed(step, warmup, repetitions):
    times = []
    for i in range(warmup + repetitions):
        start = time.perf_counter()
        step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        if i >= warmup:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_coupling(case, steps, batch=8, size=64, channels=32, channels_last=True, repetitions=5):
    """The gradient of a linear functional with respect to input and weights, as the package's own."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    block = {"memcnn": memcnn_block, "revlib": revlib_block}[case](steps, channels // 2)
    block = block.to(DEVICE, memory_format=layout)
    # A small step: without normalisation the features would grow beyond all bounds.
    with torch.no_grad():
        for weight in block.parameters():
            weight.mul_(1 / steps)
    y, w = (torch.randn(batch, channels, size, size).to(DEVICE, memory_format=layout) for _ in range(2))
    functional.conv2d(y[:, : channels // 2], next(block.parameters()), padding=1)
    peak = PeakMemory()

    def step():
        for weight in block.parameters():
            weight.grad = None
        (block(y.clone().requires_grad_(True)) * w).sum().backward()

    step_s = timed(step, 1, repetitions)
    gradients = sum(weight.numel() * weight.element_size() for weight in block.parameters())
    return {"step_s": step_s, "peak_bytes": peak.read(), "gradient_bytes": gradients}


def measure_network(compiled, bfloat16=False, batch=125, size=32, channels_last=True, repetitions=8):
    """Training with SGD and momentum, under autocast if asked for: seconds per step."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = HamiltonianNetwork().to(DEVICE, memory_format=layout)
    weights = sum(weight.numel() for weight in network.parameters())
    run = torch.compile(network) if compiled else network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    x = torch.randn(batch, 3, size, size).to(DEVICE, memory_format=layout)
    label = torch.randint(0, 10, (batch,), device=DEVICE)
    peak = PeakMemory()

    def step():
        optimizer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=bfloat16):
            loss = functional.cross_entropy(run(x), label)
        loss.backward()
        optimizer.step()

    return {"step_s": timed(step, 3, repetitions), "peak_bytes": peak.read(), "weights": weights}


def serve_inference(compiled, bfloat16=False, size=32):
    """Answer requests, one per line: {"batch": n, "calls": m} with the seconds of m predictions of n images."""
    network = HamiltonianNetwork().eval().to(memory_format=torch.channels_last)
    run = torch.compile(network) if compiled else network
    for line in sys.stdin:
        request = json.loads(line)
        x = torch.randn(request["batch"], 3, size, size).contiguous(memory_format=torch.channels_last)
        seconds = []
        with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16, enabled=bfloat16):
            for _ in range(request["calls"]):
                start = time.perf_counter()
                functional.softmax(run(x), 1).float().numpy()
                seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    torch.manual_seed(0)
    if "threads" in settings:
        torch.set_num_threads(settings.pop("threads"))
    if settings["case"] == "inference":
        sys.exit(serve_inference(settings["compiled"], settings.get("bfloat16", False)))
    measure = measure_network if settings["case"] == "network" else measure_coupling
    if measure is measure_network:
        del settings["case"]
    print(json.dumps(measure(**settings)))
