"""A release made of drawn figures: a model of random bytes, its lock, a report that passes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.onnx_bytes import onnx_bytes
from trufor_onnx.export.lock import encode, file_entry, lock_path
from trufor_onnx.parity.gate.policy import load_policy
from trufor_onnx.parity.inputs.cases import KINDS
from trufor_onnx.parity.release.assemble import Order, assemble
from trufor_onnx.parity.results.rows import SOURCE, Report, json_text
from trufor_onnx.parity.results.summary import summarise
from trufor_onnx.parity.results.tolerances import tolerances_digest

PREPROCESSING = {
    "scale": 256.0,
    "mean": [0.0],
    "std": [1.0],
    "channels": "RGB",
    "layout": "NCHW",
    "dtype": "float32",
}
WEIGHTS = {
    "label": "trained.th",
    "kind": "checkpoint",
    "digest": "d" * 64,
    "seed": "",
    "file": "trained.th",
    "file_sha256": "e" * 64,
    "stand_in": [],
    "coverage": {"tensors": 2, "tensors_set": 2},
}


def write_model(folder: Path, seed: int = 0, size: int = 300_000) -> Path:
    """``net.onnx`` with its lock."""
    folder.mkdir(exist_ok=True)
    path = folder / "net.onnx"
    path.write_bytes(onnx_bytes(random.Random(seed).randbytes(size)))
    lock = {
        "lock_version": 1,
        "model": "net",
        "title": "A network",
        "network_version": "1",
        "variant": "portable",
        "opset": 17,
        "toolchain": {"torch": "2.13.0"},
        "weights": WEIGHTS,
        "file": file_entry(path),
        "preprocessing": PREPROCESSING,
        "inputs": [{"name": "image", "axes": ["batch", 3], "description": "RGB"}],
        "outputs": [{"name": "map", "axes": ["batch"], "description": "0..1"}],
        "initializers": [
            {"name": "w", "sha256": "a" * 64, "transform": "checkpoint", "sources": ["w"]}
        ],
    }
    lock_path(path).write_bytes(encode(lock))
    return path


def write_report(path: Path, model: Path, make: Any, *, mae: float = 1e-6) -> Path:
    """A ``parity.json`` of ten images, fifteen shapes and the made pictures."""
    rows, shapes, looks = [], [], {}
    for number in range(10):
        about = {"image": f"{number}.png", "image_sha256": f"{number:064x}"}
        rows.append(make.row(backend=SOURCE, variant="source", **about))
        rows.append(make.row(mae=mae, **about))
        digest = about["image_sha256"]
        looks[digest] = {"pixels_sha256": digest, "flat": False, "like": digest}
    others = [f"shape:{number}" for number in range(15)] + [f"made:{kind}" for kind in KINDS]
    for number, name in enumerate(others):
        about = {"image": name, "shape": (1, 3, 32, 32 + number)}
        shapes.append(make.row(backend=SOURCE, variant="source", **about))
        shapes.append(make.row(mae=mae, **about))
    identity = {
        "file": file_entry(model),
        "variant": "portable",
        "proof": "proven",
        "proof_reason": "",
        "opset": 17,
        "file_weights": WEIGHTS,
    }
    about_model = {
        **identity,
        "network_version": "1",
        "weights": WEIGHTS,
        "preprocessing": PREPROCESSING,
        "variants": {"portable": identity},
        "data_set": {"looks": looks},
        "placement": {"cpu": {"nodes": {"CPUExecutionProvider": 3}, "fell_back_ops": {}}},
    }
    report = Report(
        environment={
            "packages": {"torch": "2.13.0"},
            "processor": "a processor",
            "providers": {"cpu": {}},
            "tolerances_sha256": tolerances_digest(),
        },
        models={"net": about_model},
        rows=tuple(rows),
        shape_rows=tuple(shapes),
        groups=(*summarise(rows, "images"), *summarise(shapes, "shapes")),
    )
    path.write_text(json_text(report))
    return path


@pytest.fixture
def order(tmp_path: Path, make: Any) -> Callable[..., Order]:
    """What to release, of a network made of a seed."""

    def prepare(version: str = "1.0", seed: int = 0, **changes: Any) -> Order:
        folder = tmp_path / f"models_{seed}"
        model = write_model(folder, seed)
        report = write_report(tmp_path / f"parity_{seed}.json", model, make)
        given = Order(
            version=version,
            report=report,
            models_dir=folder,
            out=tmp_path / "dist",
            policy=load_policy(),
            builder="urn:test",
            weights_licence="ours, for tests",
        )
        return replace(given, **changes)

    return prepare


@pytest.fixture
def released(order: Callable[..., Order]) -> Path:
    """A release folder."""
    folder = assemble(order()).folder
    assert folder is not None
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and its public Ed25519 key."""
    return write_keys(tmp_path, "key")


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as forms

    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def other_keys(tmp_path: Path) -> tuple[Path, Path]:
    """Somebody else's."""
    return write_keys(tmp_path, "other")
