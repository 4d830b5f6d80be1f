"""Reports that differ in what a test wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.parity.results.rows import SOURCE, Report, json_text
from trufor_onnx.parity.results.summary import summarise


@pytest.fixture
def write(tmp_path: Path, make: Any) -> Callable[..., Path]:
    """A ``parity.json`` of 12 images below ``tmp_path``, errors by a function of the number."""

    def build(
        name: str,
        error: Callable[[int], float] = lambda n: (n + 1) * 1e-7,
        sha256: str = "a" * 64,
        variant: str = "portable",
    ) -> Path:
        rows = []
        for number in range(12):
            about = {"image": f"{number}.png", "image_sha256": f"{number:064x}"}
            rows.append(make.row(backend=SOURCE, variant="source", **about))
            rows.append(make.row(mae=error(number), variant=variant, **about))
        about = {"file": {"sha256": sha256}, "weights": {"digest": "w" * 64}, "variant": variant}
        models = {"net": about}
        environment = {"packages": {"torch": "2"}, "tolerances_sha256": "t" * 64}
        report = Report(environment, models, tuple(rows), (), tuple(summarise(rows, "images")))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json_text(report))
        return path

    return build
