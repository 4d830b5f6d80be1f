"""How long a gate on a stored report takes, as a whole process, against its 1 s.

    python benchmarks/gate_speed.py REPORT.json [--runs 11] [--onnx-models DIR] [--bench BENCH.json]

Prints medians of wall clock and of processor time (user and system; what the wall clock is on an
idle machine). Files are hashed, so large ONNX files in DIR add their share.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--onnx-models", default="onnx_models")
    parser.add_argument("--bench", default="")
    args = parser.parse_args()
    command = [sys.executable, "-m", "parity", "gate", str(args.report)]
    command += ["--onnx-models", args.onnx_models]
    command += ["--bench", args.bench, "--baseline", args.bench] if args.bench else []
    walls, processor = [], []
    for _ in range(args.runs):
        before, start = os.times(), time.perf_counter_ns()
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        walls.append((time.perf_counter_ns() - start) / 1e9)
        after = os.times()
        processor.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    document = json.loads(args.report.read_bytes())
    rows = len(document["rows"]) + len(document["shape_rows"])
    print(f"{rows} rows, {args.report.stat().st_size:,} bytes, exit {code}, {args.runs} runs")
    print(f"wall clock     {statistics.median(walls):.2f} s (load {os.getloadavg()[0]:.1f})")
    print(f"processor time {statistics.median(processor):.2f} s")


if __name__ == "__main__":
    main()
