"""Which families of timm export, by which exporter: a Markdown table of one small network each.

    python -m benchmarks.timm_families [--most N] [--jobs N] > table.md

A family is the letters that a name begins with; of each the network of the fewest parameters is
taken, of those that docs/timm.md does not name. An export checks itself against torch, at other
sizes and batches than the traced one; where it fails, torch's other exporter is tried, and then
the name with the size that the error proposes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "timm.md"
LARGEST = 120_000_000  # parameters
SECONDS = 420
WAYS = ("tracer", "dynamo")


def family(name: str) -> str:
    """``regnetx`` of ``regnetx_002``."""
    found = re.match(r"[a-z]+", name)
    return found[0] if found else name


def unlisted() -> Iterator[str]:
    """The smallest network of every family that the page does not name."""
    import torch

    from trufor_onnx.export.networks.timm_specs import import_timm

    timm = import_timm()
    told = set(re.findall(r"`(?:timm:)?([a-z][a-z0-9_]+)", PAGE.read_text("utf-8")))
    families: dict[str, list[str]] = {}
    for name in timm.list_models():
        if name not in told:
            families.setdefault(family(name), []).append(name)
    for _, names in sorted(families.items()):
        sizes = {}
        for name in names:
            try:
                with torch.device("meta"):
                    network = timm.create_model(name, exportable=True)
            except (RuntimeError, NotImplementedError, TypeError, ValueError):
                continue  # not to be built without numbers
            sizes[name] = sum(p.numel() for p in network.parameters())
        smallest = min(sizes, key=lambda one: (sizes[one], one), default=names[0])
        if sizes.get(smallest, 0) <= LARGEST:
            yield smallest


def tried(name: str) -> tuple[str, str, str]:
    """Name as it was exported, the exporter or "no", and what was said last."""
    said = ""
    for way in WAYS:
        wanted = name
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                options = ["--stand-in", "golden", "--out", folder, "--exporter", way]
                command = [sys.executable, "-m", "trufor_onnx.export", f"timm:{wanted}", *options]
                try:
                    ran = subprocess.run(
                        command, capture_output=True, text=True, timeout=SECONDS, check=False
                    )
                except subprocess.TimeoutExpired:
                    said = f"not done after {SECONDS} s"
                    break
            if ran.returncode == 0:
                return wanted, way, ""
            lines = [
                line for line in ran.stderr.splitlines() if line.startswith(("error", "  hint"))
            ]
            said = " ".join(lines) or ran.stderr[-200:]
            sized = re.search(rf"timm:({re.escape(name)}@\d+x\d+)", said)
            if sized is None or wanted != name:
                break
            wanted = sized[1]
    return name, "no", said


def main() -> int:
    """Try, print the table; 0 where all but three export."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--most", type=int, default=60, metavar="N", help="families at most")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="exports at a time")
    args = parser.parse_args()
    names = list(unlisted())[: args.most]
    with ThreadPoolExecutor(args.jobs) as pool:
        found = []
        print("| family | network | exports |\n|---|---|---|")
        for name, (wanted, way, said) in zip(names, pool.map(tried, names), strict=True):
            found.append(way)
            what = way if way != "no" else f"no: {said[:160]}"
            print(f"| {family(name)} | `{wanted}` | {what.replace('|', '/')} |", flush=True)
    exported = len(found) - found.count("no")
    counts = ", ".join(f"{found.count(way)} by the {way}" for way in WAYS)
    print(f"\n{exported} of {len(found)} export: {counts}")
    return 0 if found.count("no") <= 3 else 1


if __name__ == "__main__":
    sys.exit(main())
