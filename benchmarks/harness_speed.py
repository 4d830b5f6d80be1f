"""What `parity run` costs beside the plain way to compare, as ratios of interleaved processes.

Usage: python benchmarks/harness_speed.py [--images WHERE] [--most N] [--rounds N]

The plain way is what published scripts do, as one process: both networks in PyTorch float32 and in
ONNX Runtime, one image after the other, and the mean absolute error between the two. (Of both, the
second input of mit_b2 is the Noiseprint++ map that was computed for the same image.) Beside it
`parity run --no-shapes` with references in the cache, and with an empty cache. Every round runs
each once, in random order; a ratio is of the same round. Processor seconds are shown beside the
clock's, for machines that have other work. Needs exported files in onnx_models/.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trufor_onnx.parity.results.environment import processor

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("noiseprint_pp", "mit_b2")
TARGETS = {"references cached": 0.6, "references computed": 3.5}
PLAIN = "plain"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=_images())
    parser.add_argument("--most", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain(args.images, args.most)
        return
    print(f"{processor()}, {os.cpu_count()} processors; {args.most} images of {args.images.name}")
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(args, Path(folder))
    for name, target in TARGETS.items():
        for index, clock in enumerate(("time", "processor time")):
            pairs = zip(seconds[name], seconds[PLAIN], strict=True)
            ratios = [ours[index] / theirs[index] for ours, theirs in pairs]
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            median = statistics.median(ratios)
            print(f"{name}: {median:.2f} of the plain way's {clock} (target {target}; {shown})")


def measure(args: argparse.Namespace, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each way, round by round."""
    given = ["--images", str(args.images), "--max-images", str(args.most), "--no-shapes"]
    run = [sys.executable, "-m", "parity", "run", "--models", *MODELS, *given]
    run += ["--stand-in", "golden", "--out", str(folder / "out")]
    warm = [*run, "--cache", str(folder / "warm")]
    call(warm)  # fills the cache
    seconds: dict[str, list[tuple[float, float]]] = {PLAIN: [], **{name: [] for name in TARGETS}}
    for turn in range(args.rounds):
        commands = {
            PLAIN: [
                *(sys.executable, __file__, "--plain", "--images", str(args.images)),
                *("--most", str(args.most)),
            ],
            "references cached": warm,
            "references computed": [*run, "--cache", str(folder / f"cold_{turn}")],
        }
        names = list(commands)
        random.shuffle(names)
        for name in names:
            seconds[name].append(call(commands[name]))
            print(f"round {turn + 1}: {name}: {seconds[name][-1][0]:.1f} s", flush=True)
    return seconds


def call(command: list[str]) -> tuple[float, float]:
    """Seconds of one process: by the clock, and of all its threads on processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter_ns()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    seconds = (time.perf_counter_ns() - started) / 1e9
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def plain(images: Path, most: int) -> None:
    """PyTorch float32, then ONNX Runtime, one image after the other, both networks."""
    import numpy as np
    import onnxruntime
    import torch

    from trufor_onnx.export.networks.preprocess import read_image, to_input
    from trufor_onnx.export.networks.registry import find
    from trufor_onnx.export.weights.sources import WeightsSource
    from trufor_onnx.parity.inputs.image_sets import find_images

    modules, sessions = {}, {}
    for name in MODELS:
        spec = find(name)
        module = spec.build()
        tensors = WeightsSource(stand_in="golden").weights_for(spec, module).tensors
        module.load_state_dict(dict(tensors))
        modules[name] = module
        sessions[name] = onnxruntime.InferenceSession(ROOT / "onnx_models" / f"{name}.onnx")
    errors: dict[str, list[float]] = {}
    with torch.inference_mode():
        for picture in find_images(images, most=most):
            rgb = read_image(picture.path).rgb
            found: list[np.ndarray] = []
            for name in MODELS:
                given = [to_input(rgb, find(name).preprocessing)]
                if found:  # of noiseprint_pp
                    given.append(np.repeat(found[0], 3, axis=1))
                outputs = modules[name](*map(torch.from_numpy, given))
                found = [output.numpy() for output in _as_tuple(outputs)]
                session = sessions[name]
                inputs = [tensor.name for tensor in session.get_inputs()]
                theirs = session.run(None, dict(zip(inputs, given, strict=True)))
                for index, (ours, other) in enumerate(zip(found, theirs, strict=True)):
                    errors.setdefault(f"{name} {index}", []).append(
                        float(np.abs(ours - other).mean())
                    )
    for name, values in errors.items():
        print(f"{name}: {statistics.fmean(values):.3e}")


def _as_tuple(outputs: object) -> tuple:
    return outputs if isinstance(outputs, tuple | list) else (outputs,)


def _images() -> Path:
    shared = Path(os.environ.get("TRUFOR_TEST_DATA", ROOT.parent / "shared"))
    found = shared / "data" / "cocoglide50"
    return found if found.is_dir() else ROOT / "sample_dataset"


if __name__ == "__main__":
    main()
