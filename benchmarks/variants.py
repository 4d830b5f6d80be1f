"""Variants against each other: time as ratios to the first, session creation, peak memory.

    python benchmarks/variants.py --folder FOLDER                 all models, 512 x 512
    python benchmarks/variants.py --folder FOLDER --models mit_b2 --sizes 512 2048 --repeats 3

FOLDER holds exported variants (``python -m export MODEL --variant ort --out FOLDER``). Each
file and size runs in a process of its own, with the same number of threads and without spinning;
the processes take turns, one at a time. Times are medians: on the clock, and of the processor,
which other work on the machine changes less. Peak memory is the process's own high-water mark,
without ONNX Runtime's memory pattern, as `runtime` has it: with it (``--memory-pattern``, ONNX
Runtime's default) the second call at a size takes one more block for all of its tensors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image
from rich.console import Console
from rich.table import Table

from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.registry import find
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.export.variants import file_stem

MODELS = ("noiseprint_pp", "mit_b2", "trufor_head", "trufor")
PICTURE = Path(__file__).resolve().parents[1] / "sample_dataset/real/birch_wood.jpg"
MIB = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("onnx_models"))
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--variants", nargs="+", default=["plain", "portable", "ort"])
    parser.add_argument("--sizes", nargs="+", default=["512"], help="SIDE or HEIGHTxWIDTH")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-pattern", action="store_true")
    parser.add_argument("--json", type=Path, help="write all samples here")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        _work(**json.loads(args.worker))
        return
    found: list[dict] = []
    for model in args.models:
        for size in args.sizes:
            found += _contest(args, model, *_height_width(size))
            if args.json:
                args.json.write_text(json.dumps(found, indent=1, sort_keys=True))
    if not found:
        parser.error(f"nothing measured: no files of these models and variants in {args.folder}?")


def _height_width(size: str) -> tuple[int, int]:
    height, _, width = size.partition("x")
    return int(height), int(width or height)


def _contest(args: argparse.Namespace, model: str, height: int, width: int) -> list[dict]:
    """Rows of one model and size; its processes take turns."""
    processes = {}
    for variant in args.variants:
        path = args.folder / f"{file_stem(find(model), variant)}.onnx"
        if path.is_file():
            job = {"path": str(path), "model": model, "threads": args.threads}
            job |= {"height": height, "width": width, "memory_pattern": args.memory_pattern}
            processes[variant] = subprocess.Popen(
                [sys.executable, __file__, "--worker", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
    samples: dict[str, list[dict[str, float]]] = {variant: [] for variant in processes}
    for _ in range(args.repeats + 1):  # the first is the warm-up
        for variant, process in processes.items():
            sample = _turn(process)
            if sample:
                samples[variant].append(sample)
    for process in processes.values():
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
    for variant in [name for name, runs in samples.items() if not runs]:
        print(f"{model} {variant}: ended with code {processes[variant].returncode} (-9: no memory)")
        del samples[variant]
    return _table(model, (height, width), samples)


def _turn(process: subprocess.Popen[str]) -> dict[str, float]:
    """One run's figures; nothing from a process that has ended, as for want of memory."""
    try:
        print("go", file=process.stdin, flush=True)
    except BrokenPipeError:
        return {}
    line = process.stdout.readline()
    return json.loads(line) if line else {}


def _table(
    model: str, size: tuple[int, int], samples: dict[str, list[dict[str, float]]]
) -> list[dict]:
    table = Table(title=f"{model}, {size[0]} x {size[1]}")
    for heading in ("variant", "ms", "ratio", "CPU ms", "CPU ratio", "session s", "peak MiB"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    rows = []
    first: dict[str, float] = {}
    for variant, runs in samples.items():
        warm = runs[1:] or runs
        medians = {key: statistics.median(run[key] for run in warm) for key in ("wall", "cpu")}
        first = first or medians
        peak = runs[-1]["peak"]
        table.add_row(
            variant,
            f"{medians['wall'] * 1e3:.0f}",
            f"{first['wall'] / medians['wall']:.2f}",
            f"{medians['cpu'] * 1e3:.0f}",
            f"{first['cpu'] / medians['cpu']:.2f}",
            f"{runs[0]['session']:.2f} ({runs[0]['session_cpu']:.2f} CPU)",
            f"{peak / MIB:.0f}",
        )
        rows.append({"model": model, "variant": variant, "size": size, "runs": runs})
    Console(width=120).print(table)
    return rows


def _work(
    path: str, model: str, threads: int, height: int, width: int, memory_pattern: bool
) -> None:
    """One file at one size: a line of JSON for every line that comes in."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = memory_pattern
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    started, busy = time.perf_counter(), time.process_time()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    creation = {
        "session": time.perf_counter() - started,
        "session_cpu": time.process_time() - busy,
    }
    feeds = picture_feeds(model, height, width)
    for _ in sys.stdin:
        started, busy = time.perf_counter(), time.process_time()
        session.run(None, feeds)
        times = {"wall": time.perf_counter() - started, "cpu": time.process_time() - busy}
        print(json.dumps({**times, **creation, "peak": _peak()}), flush=True)


def picture_feeds(model: str, height: int, width: int) -> dict[str, npt.NDArray[np.float32]]:
    """A sample picture, repeated to the size; its horizontal gradient for the Noiseprint++ map."""
    spec = find(model)
    picture = np.asarray(Image.open(PICTURE).convert("RGB"))
    rows, columns = -(-height // picture.shape[0]), -(-width // picture.shape[1])
    picture = np.tile(picture, (rows, columns, 1))[:height, :width]
    feeds = {spec.inputs[0].name: to_input(picture, spec.preprocessing)}
    if spec.second_input:
        gray = to_input(picture, Preprocessing())[:, 1:2]
        second = spec.inputs[1]
        channels = second.axes[1] if isinstance(second.axes[1], int) else 1
        feeds[second.name] = np.repeat(gray - np.roll(gray, 1, axis=3), channels, axis=1)
    return feeds


def _peak() -> int:
    """This process's largest resident set so far, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
