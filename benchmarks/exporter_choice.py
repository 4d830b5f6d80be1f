"""How long each of torch's two ONNX exporters takes for MiT-B2, and whether the graph is right.

The figures behind docs/decisions/exporter.md. Each exporter runs in a process of its own:

    .venv/bin/python benchmarks/exporter_choice.py                   the older tracer, 1 minute
    .venv/bin/python benchmarks/exporter_choice.py --dynamo 360      and torch.export, 6 minutes

Weights are stand-in weights (seed ``golden``). A graph is judged at sizes and batches that it was
not traced at, on pictures of ``--images``: mean absolute error against the float64 network, for
ONNX Runtime and for PyTorch float32, and the ratio of the two.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from trufor_onnx.export.models.mit_b2 import MiTB2
from trufor_onnx.export.models.noiseprint_pp import NoiseprintPP
from trufor_onnx.export.networks.preprocess import read_image
from trufor_onnx.export.weights.standin import DEFAULT_SEED, stand_in_state

OUTPUTS = ("fused_0", "fused_1", "fused_2", "fused_3")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TRACED = (2, 64, 96)  # batch, height, width
JUDGED = ((1, 32, 32), (1, 101, 77), (1, 96, 128), (2, 96, 128), (3, 75, 53), (1, 256, 256))
LEAST, MOST = 64, 4096  # pixels a side for torch.export, which wants bounds

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Case:
    """What one exporter did.

    Attributes:
        name: the exporter and its opset.
        seconds: by phase, on the clock.
        cpu_seconds: by phase, of the processor: what a busy machine does not change.
        nodes: in the graph, constants included; 0 where there is none.
        warnings: distinct messages, shortened.
        rows: shape, output, mae of ONNX Runtime and of torch32, largest difference of the two.
        peak_mib: resident memory of the process at its highest.
    """

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    nodes: int = 0
    warnings: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    peak_mib: float = 0.0


@contextmanager
def timed(case: Case, phase: str) -> Iterator[None]:
    """Add a phase's time to a case."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    case.seconds[phase] = time.perf_counter() - clock
    case.cpu_seconds[phase] = time.process_time() - processor


def stand_in(network: torch.nn.Module, prefix: str) -> torch.nn.Module:
    """Give a network on the ``meta`` device its stand-in weights."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = stand_in_state(DEFAULT_SEED, shapes, prefix=prefix)
    network.load_state_dict({n: torch.from_numpy(v) for n, v in state.items()}, assign=True)
    return network


@cache
def build(kind: type[torch.nn.Module], prefix: str) -> torch.nn.Module:
    """A network with stand-in weights, float32."""
    with torch.device("meta"):
        network = kind()
    return stand_in(network, prefix)


def inputs(images: list[npt.NDArray[np.uint8]], shape: tuple[int, int, int]) -> Pair:
    """Crops of pictures as the encoder takes them: normalised, and their Noiseprint++ map."""
    batch, height, width = shape
    crops = [images[i % len(images)][:height, :width] for i in range(batch)]
    pixels = torch.from_numpy(np.stack(crops).astype(np.float32) / 256).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        noiseprint = build(NoiseprintPP, "dncnn.")(pixels.contiguous())
    return ((pixels - mean) / std).contiguous(), noiseprint.repeat(1, 3, 1, 1)


def tracer(case: Case, network: torch.nn.Module, opset: int, file: Path) -> onnx.ModelProto:
    """The older tracer, as `export.graph.trace` calls it; weights are attached afterwards."""
    rgb = torch.rand(TRACED[0], 3, *TRACED[1:])
    axes = {0: "batch", 2: "height", 3: "width"}
    with timed(case, "export"):
        torch.onnx.export(
            network,
            (rgb, rgb.clone()),
            str(file),
            dynamo=False,
            opset_version=opset,
            export_params=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=["rgb", "np"],
            output_names=list(OUTPUTS),
            dynamic_axes={"rgb": axes, "np": axes},
        )
    graph = onnx.load(file)
    state = network.state_dict()
    for value in [value for value in graph.graph.input if value.name in state]:
        graph.graph.input.remove(value)
        tensor = onnx.numpy_helper.from_array(state[value.name].numpy(), value.name)
        graph.graph.initializer.append(tensor)
    return graph


def dynamo(case: Case, network: torch.nn.Module, opset: int, file: Path) -> onnx.ModelProto:
    """torch.export with axes shared by both inputs, then the conversion."""
    rgb = torch.rand(TRACED[0], 3, *TRACED[1:])
    axes = {
        0: torch.export.Dim("batch", min=1, max=64),
        2: torch.export.Dim("height", min=LEAST, max=MOST),
        3: torch.export.Dim("width", min=LEAST, max=MOST),
    }
    with timed(case, "torch.export"):
        program = torch.export.export(network, (rgb, rgb.clone()), dynamic_shapes=(axes, axes))
    report(case)
    with timed(case, "conversion"):
        torch.onnx.export(
            program,
            f=str(file),
            dynamo=True,
            opset_version=opset,
            input_names=["rgb", "np"],
            output_names=list(OUTPUTS),
            external_data=False,
        )
    return onnx.load(file)


def judge(case: Case, graph: onnx.ModelProto, network: torch.nn.Module, pairs: list[Pair]) -> None:
    """Compare ONNX Runtime and PyTorch float32 with the float64 network."""
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = [
        session.run(OUTPUTS, {"rgb": rgb.numpy(), "np": extra.numpy()}) for rgb, extra in pairs
    ]
    with torch.inference_mode():
        source = [network(rgb, extra) for rgb, extra in pairs]
        network.double()
        truth = [network(rgb.double(), extra.double()) for rgb, extra in pairs]
    for (rgb, _), ort, torch32, exact in zip(pairs, found, source, truth, strict=True):
        for name, one, other, right in zip(OUTPUTS, ort, torch32, exact, strict=True):
            if one.shape != tuple(right.shape):
                raise SystemExit(f"{case.name}: {name} is {one.shape}, not {tuple(right.shape)}")
            case.rows.append(
                {
                    "shape": list(rgb.shape),
                    "output": name,
                    "mae": float(np.abs(one - right.numpy()).mean()),
                    "mae_source": float((other - right).abs().mean()),
                    "max_abs_to_torch32": float(np.abs(one - other.numpy()).max()),
                }
            )


def report(case: Case) -> None:
    """One line of JSON on standard output: the parent reads the last one that came."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({**vars(case), "peak_mib": peak}, allow_nan=False) + "\n")
    sys.stdout.flush()


def run_case(name: str, images: Path, work: Path) -> None:
    """One exporter, in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the pictures are small; threads waiting for a busy core blur times
    exporter, opset = name.split("-")
    pictures = [read_image(path).rgb for path in sorted(images.rglob("*.[pj][np]g"))[:3]]
    if not pictures:
        raise SystemExit(f"{images}: no pictures; make sample_dataset/ with `make dataset`")
    network = build(MiTB2, "backbone.")
    case = Case(name)
    export = {"tracer": tracer, "dynamo": dynamo}[exporter]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = export(case, network, int(opset), work / f"{name}.onnx")
    case.warnings = sorted(
        {f"{w.category.__name__}: {str(w.message).splitlines()[0][:90]}" for w in caught}
    )
    case.nodes = len(graph.graph.node)
    report(case)
    # torch.export has promised nothing below its least size.
    least = LEAST if exporter == "dynamo" else 0
    shapes = [shape for shape in JUDGED if min(shape[1:]) >= least]
    judge(case, graph, network, [inputs(pictures, shape) for shape in shapes])
    report(case)


def run_child(name: str, images: Path, work: Path, limit: float | None) -> tuple[Case, str]:
    """One exporter in a process of its own; what it reported, and how it ended."""
    arguments = ["--case", name, "--images", str(images), "--work", str(work)]
    command = [sys.executable, __file__, *arguments]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=limit, check=False)
        lines, ended = done.stdout, "done" if done.returncode == 0 else "failed"
    except subprocess.TimeoutExpired as late:
        lines, ended = late.stdout or b"", f"stopped after {limit:.0f} s"
    # The exporters write lines of their own.
    reports = [line for line in lines.decode().splitlines() if line.startswith("{")]
    return Case(**json.loads(reports[-1])) if reports else Case(name), ended


def show(console: Console, case: Case, ended: str) -> None:
    """One exporter's figures."""
    phases = ", ".join(
        f"{name} {seconds:.1f} s ({case.cpu_seconds[name]:.1f} s of processor)"
        for name, seconds in case.seconds.items()
    )
    console.print(
        f"\n{case.name}: {ended}; {phases or 'no phase ended'}; {case.nodes} nodes; "
        f"peak {case.peak_mib:.0f} MiB"
    )
    for message in case.warnings:
        console.print(f"  {message}")
    if not case.rows:
        return
    table = Table("input", "output", "mae onnxruntime", "mae torch32", "ratio", "max to torch32")
    for row in case.rows:
        table.add_row(
            "x".join(map(str, row["shape"])),
            row["output"],
            f"{row['mae']:.2e}",
            f"{row['mae_source']:.2e}",
            f"{row['mae'] / row['mae_source']:.2f}",
            f"{row['max_abs_to_torch32']:.1e}",
        )
    console.print(table)


def main() -> None:
    """Parse, run each exporter, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, default=Path("sample_dataset"))
    parser.add_argument("--dynamo", type=float, metavar="SECONDS", help="try it, for so long")
    parser.add_argument("--work", type=Path, default=Path("reports/exporter"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.case:
        run_case(options.case, options.images, options.work)
        return
    console = Console(soft_wrap=True, highlight=False)
    cases: list[tuple[str, float | None]] = [("tracer-17", None), ("tracer-20", None)]
    if options.dynamo:
        cases.append(("dynamo-20", options.dynamo))
    for name, limit in cases:
        show(console, *run_child(name, options.images, options.work, limit))


if __name__ == "__main__":
    main()
