"""What `python -m runtime` costs beside the networks: a folder against the bare sessions.

    python benchmarks/runtime_overhead.py --images photos --block 5

Blocks of images alternate between the two, so that both meet the same noise of the machine: the
bare sessions on inputs made beforehand, and the whole batch from files to written results
(arrays, pictures, overlay, records; fsynced). Processor seconds of all threads are shown beside the
wall's: on a machine with other work they are the steadier figure.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trufor_onnx.export.networks.preprocess import to_input
from trufor_onnx.export.networks.spec import Preprocessing
from trufor_onnx.runtime import Detector, load_picture
from trufor_onnx.runtime.batch import ImageOutcome, analyze_all
from trufor_onnx.runtime.images import Found, find_images
from trufor_onnx.runtime.outputs import Wanted


def clock() -> npt.NDArray[np.float64]:
    """Seconds of the wall and of the processor."""
    return np.array([time.perf_counter_ns(), time.process_time_ns()]) / 1e9


def bare(detector: Detector, images: list[Found]) -> npt.NDArray[np.float64]:
    """Seconds in the two sessions, see `clock`."""
    extractor, head = detector._extractor, detector._head
    assert extractor is not None
    assert head is not None
    seconds = np.zeros(2)
    for image in images:
        rgb = to_input(load_picture(image.path).rgb, Preprocessing())
        start = clock()
        residual = extractor._session.run(["noiseprint"], {"image": rgb})[0]
        head._session.run(["map", "conf", "score"], {"rgb": rgb, "np": np.asarray(residual)})
        seconds += clock() - start
    return seconds


def batch(
    detector: Detector, images: list[Found], out: Path, wanted: Wanted
) -> npt.NDArray[np.float64]:
    """Seconds from files to files, see `clock`."""
    start = clock()
    done = list(analyze_all(detector, images, out, wanted, overwrite=True))
    seconds = clock() - start
    assert all(one.outcome is ImageOutcome.DONE for one in done)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=Path("sample_dataset"))
    parser.add_argument("--max-images", type=int)
    parser.add_argument("--models", type=Path, default=Path("onnx_models"))
    parser.add_argument("--variant", default="auto")
    parser.add_argument("--block", type=int, default=5, help="images in a block")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    images = find_images([args.images])[: args.max_images]
    blocks = [images[at : at + args.block] for at in range(0, len(images), args.block)]
    out = Path(tempfile.mkdtemp())
    rows = []
    try:
        with Detector(args.models, variant=args.variant, threads=args.threads) as detector:
            bare(detector, images[:2])  # warm-up
            for index, block in enumerate(blocks):
                order = ("bare", "batch") if index % 2 == 0 else ("batch", "bare")
                took = {
                    name: bare(detector, block)
                    if name == "bare"
                    else batch(detector, block, out, Wanted())
                    for name in order
                }
                rows.append((took["bare"], took["batch"]))
                wall, processor = took["batch"] / took["bare"]
                print(
                    f"block {index + 1:3}: sessions {took['bare'][0]:6.2f} s, ratio {wall:.3f}; "
                    f"processor {took['bare'][1]:6.2f} s, ratio {processor:.3f}",
                    flush=True,
                )
            variant = detector.provenance.models[-1].variant
    finally:
        shutil.rmtree(out)
    alone, whole = (sum(column) for column in zip(*rows, strict=True))
    for index, name in enumerate(("wall", "processor")):
        ratios = [float((both / one)[index]) for one, both in rows]
        print(
            f"{name}: {len(images)} images, variant {variant}: {alone[index] / len(images):.3f} s "
            f"an image in the sessions; whole batch {whole[index] / alone[index]:.3f} times that "
            f"(blocks: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to "
            f"{max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
