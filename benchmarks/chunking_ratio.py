"""How much faster split and merge are than the shell commands that they replace.

    python benchmarks/chunking_ratio.py [--rounds 9] [--folder DIR]

Both sides run as whole processes (ours starts an interpreter), in turns, first one then the
other leading; before each run its output is removed and the disk is synced. Printed are the
medians, and the median, least and largest ratio of neighbouring runs. To see a processor without
SHA instructions, set ``OPENSSL_ia32cap=:~0x20000000``: only our side hashes with OpenSSL
(``sha256sum`` of coreutils has its own code in C), so only our side gets slower.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthetic_onnx import reference_shapes, write_model

# Where the shapes of MiT-B2 are not at hand: about as many bytes in about as many tensors.
_OTHER_SHAPES = {f"block{index}.weight": [400, 200] for index in range(812)}


@dataclass
class Contest:
    """One of our commands, the shell commands that do the same, and the times of both in ns."""

    name: str
    ours: Sequence[str]
    baseline: Sequence[str]
    reset: Callable[[], None]
    ours_ns: list[int] = field(default_factory=list)
    baseline_ns: list[int] = field(default_factory=list)

    def prepare(self) -> None:
        """Remove what either side wrote, and leave the disk nothing to do."""
        self.reset()
        os.sync()

    def run_ours(self) -> None:
        """Run our command once and keep its time."""
        self.ours_ns.append(_time(self.ours))

    def run_baseline(self) -> None:
        """Run the shell commands once and keep their time."""
        self.baseline_ns.append(_time(self.baseline))

    def round(self, *, ours_first: bool) -> None:
        """Run both once, each from a clean state."""
        sides = (self.run_ours, self.run_baseline)
        for run in sides if ours_first else sides[::-1]:
            self.prepare()
            run()

    def ratios(self) -> list[float]:
        """How many times faster ours was, round by round."""
        return [base / ours for base, ours in zip(self.baseline_ns, self.ours_ns, strict=True)]

    def report(self) -> str:
        """The figures in one line."""
        ratios = self.ratios()
        ours, base = (statistics.median(ns) / 1e9 for ns in (self.ours_ns, self.baseline_ns))
        return (
            f"{self.name}: {statistics.median(ratios):.2f}x as fast "
            f"(least {min(ratios):.2f}, largest {max(ratios):.2f}, {len(ratios)} rounds; "
            f"ours {ours:.3f} s, baseline {base:.3f} s)"
        )


def _time(command: Sequence[str]) -> int:
    start = time.perf_counter_ns()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter_ns() - start


def contests(folder: Path) -> list[Contest]:
    """Make the 260 MB model in ``folder``, and the contests on it."""
    model = folder / "model.onnx"
    write_model(model, reference_shapes() or _OTHER_SHAPES)
    pieces, merged = folder / "model.chunks", folder / "merged.onnx"
    plain, joined, parts = folder / "plain.chunks", folder / "joined.onnx", folder / "parts"
    chunking = [sys.executable, "-m", "chunking"]
    subprocess.run([*chunking, "split", model, "--out", pieces], check=True, stdout=sys.stderr)
    shutil.copytree(pieces, plain)
    names = sorted(path.name for path in plain.glob("*.chunk"))

    def reset() -> None:
        for path in (merged, joined):
            path.unlink(missing_ok=True)
        for path in (parts, folder / "split.chunks"):
            shutil.rmtree(path, ignore_errors=True)

    def shell(script: str) -> list[str]:
        return ["sh", "-ec", f"cd '{plain}'; {script}"]

    cat = f"cat {' '.join(names)} > '{joined}' && sync '{joined}' && sha256sum '{joined}'"
    cut = f"mkdir '{parts}' && split -b 24M '{model}' '{parts}/' && sync && sha256sum '{parts}'/*"
    split_ours = [*chunking, "split", str(model), "--out", str(folder / "split.chunks")]
    merge_ours = [*chunking, "merge", str(pieces), "--out", str(merged)]
    return [
        Contest("merge against cat, sync, sha256sum", merge_ours, shell(cat), reset),
        Contest("split against split -b, sync, sha256sum", split_ours, shell(cut), reset),
    ]


def hash_speeds(file: Path) -> str:
    """What one core hashes here, with our library and with ``sha256sum``."""
    start = time.perf_counter_ns()
    with file.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
    middle = time.perf_counter_ns()
    subprocess.run(["sha256sum", file], check=True, stdout=subprocess.DEVNULL)
    end = time.perf_counter_ns()
    megabytes = file.stat().st_size / 1e6
    ours, theirs = (megabytes * 1e9 / ns for ns in (middle - start, end - middle))
    return f"one core hashes {ours:.0f} MB/s (hashlib), {theirs:.0f} MB/s (sha256sum)"


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where to work (default: the temp folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = contests(Path(folder))
        _say(hash_speeds(Path(folder) / "model.onnx") + f" on {os.cpu_count()} cores")
        for turn in range(args.rounds):
            for contest in found:
                contest.round(ours_first=turn % 2 == 0)
    for contest in found:
        _say(contest.report())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
