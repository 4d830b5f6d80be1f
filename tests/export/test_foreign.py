"""Whatever code of others raises or returns ends in one error, with what, where and a hint."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from trufor_onnx.errors import ExportError, UserError
from trufor_onnx.export.cli import main
from trufor_onnx.export.foreign import foreign, out_of_memory, reason_of
from trufor_onnx.export.graph.self_check import self_check
from trufor_onnx.export.networks.registry import registered
from trufor_onnx.export.networks.spec import ModelSpec, TensorSpec
from trufor_onnx.export.weights.sources import WeightsSource

AXES = ("batch", 3, "height", "width")
SPEC = ModelSpec(
    name="theirs",
    title="A network of somebody else",
    version="1",
    inputs=(TensorSpec("image", AXES, "RGB"),),
    outputs=(TensorSpec("map", AXES, "a map"),),
    builder=f"{__name__}:Good",
)
TWO = replace(SPEC, outputs=(*SPEC.outputs, TensorSpec("score", ("batch",), "a score")))


class Good(nn.Module):
    """Multiplies by a parameter without dimensions."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: torch.Tensor) -> Any:
        return image * self.scale


def exits() -> nn.Module:
    sys.exit(0)


def prints() -> nn.Module:
    print("loading the weights of my network")  # noqa: T201 - what builders do
    return Good()


def recurses() -> nn.Module:
    return recurses()


class Base(BaseException):
    """Not even an Exception."""


class Mute(Exception):
    """Its text is an error too."""

    def __str__(self) -> str:
        raise ValueError("no text")


def raises_no_exception() -> nn.Module:
    raise Base("left in a hurry")


def raises_mutely() -> nn.Module:
    raise Mute


def loads_unsafely() -> nn.Module:
    raise RuntimeError(
        "Weights only load failed. You can set `weights_only=False`, do it only if you trust it"
    )


def no_module() -> int:
    return 3


def wrong_argument(depth: int) -> nn.Module:
    raise AssertionError(depth)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModelSpec]:
    """Register a network with another builder or forward."""

    def make(builder: str = "Good", forward: Any = None, spec: ModelSpec = SPEC) -> ModelSpec:
        if forward is not None:
            monkeypatch.setattr(Good, "forward", forward)
        made = replace(spec, builder=f"{__name__}:{builder}")
        monkeypatch.setattr("trufor_onnx.export.cli.find_typed", lambda _: made)
        return made

    registered()
    return make


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        ("exits", "building the network ended the process (exit code 0)"),
        ("raises_no_exception", "Base: left in a hurry (test_foreign.py, line "),
        ("raises_mutely", "building the network failed: Mute (test_foreign.py, line "),
        ("recurses", "RecursionError: maximum recursion depth exceeded"),
        ("no_module", "its builder gave int, not a network"),
        ("wrong_argument", "TypeError: wrong_argument() missing 1 required positional argument"),
        ("loads_unsafely", "it reads a file that holds more than tensors, which is refused"),
    ],
)
def test_builders(
    builder: str,
    reason: str,
    theirs: Callable[..., ModelSpec],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    theirs(builder)
    assert main(["theirs", "--stand-in", "s", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "error: theirs: " in said
    assert reason in said
    assert "hint: " in said
    assert "weights_only" not in said
    assert not list(tmp_path.glob("*.onnx"))


def test_what_a_builder_prints_is_no_output_of_ours(
    theirs: Callable[..., ModelSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    theirs("prints").build()
    said = capsys.readouterr()
    assert said.out == ""
    assert "my network" in said.err


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("not enough memory: you tried to allocate 80 bytes"), True),
        (RuntimeError("Expected tensor of type Long"), False),
        (ValueError("sizes differ"), False),
    ],
)
def test_only_want_of_memory_is_called_so(error: Exception, memory: bool) -> None:
    assert out_of_memory(error) == memory
    with pytest.raises(ExportError) as refusal, foreign("x", hint="mend", memory_hint="crop"):
        raise error
    assert refusal.value.hint == ("crop" if memory else "mend")
    assert ("ran out of memory" in refusal.value.problem) == memory
    assert "(test_foreign.py, line " in refusal.value.problem


def test_our_own_errors_and_the_users_interrupt_pass_through() -> None:
    for error in (UserError("ours", hint="as it was"), KeyboardInterrupt(), GeneratorExit()):
        with pytest.raises(type(error)) as caught, foreign("x", hint="mend"):
            raise error
        assert caught.value is error


def test_a_package_that_is_not_installed_is_named() -> None:
    needs = "x needs no_such.inner, which is not installed"
    with pytest.raises(ExportError, match=needs) as refusal, foreign("x", hint="mend"):
        raise ModuleNotFoundError("No module named 'no_such'", name="no_such.inner")
    assert "pip install" in refusal.value.hint


def test_long_reasons_are_cut() -> None:
    assert len(reason_of(ValueError("x" * 5000))) < 400


def test_operators_of_torchvision_are_declared_before_it_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For every builder, not for timm's alone; and only while code of others runs."""
    asked: list[str] = []
    monkeypatch.setattr(
        "trufor_onnx.export.foreign._declare_operators", lambda: asked.append("declared")
    )
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    before = list(sys.meta_path)

    class Fake:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "torchvision":
                sys.modules[name] = types.ModuleType(name)
                raise ImportError("enough")

    monkeypatch.setattr(sys, "meta_path", [Fake(), *before])
    with pytest.raises(ExportError, match="enough"), foreign("x", hint="mend"):
        import torchvision  # noqa: F401
    assert asked == ["declared"]
    assert len(sys.meta_path) == len(before) + 1


class Pools(nn.Module):
    """Needs 40 pixels a side, though its spec says none."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if min(image.shape[2:]) < 40:
            raise ValueError("kernel size is larger than the picture")
        return image * 2.0


class Halves(nn.Module):
    """As encoders with skips are: an odd side does not fit."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        half = nn.functional.avg_pool2d(image, 4)
        return image + nn.functional.interpolate(half, scale_factor=4.0)


@pytest.mark.parametrize(
    ("module", "hint"),
    [
        (Pools(), "say least_size=40 in its spec"),
        (Halves(), "multiples of 4 only"),
    ],
)
def test_a_size_that_the_network_does_not_take(module: nn.Module, hint: str) -> None:
    model = torch_export(module)
    with pytest.raises(ExportError) as refusal:
        self_check(model, SPEC, module)
    assert hint in refusal.value.hint
    assert "failed: " in refusal.value.problem


def torch_export(module: nn.Module) -> bytes:
    """The graph at 64 x 96; any will do, the network itself is run first."""
    from trufor_onnx.export.graph.trace import trace

    graph = trace(replace(SPEC, strict=False), module)
    return bytes(graph.SerializeToString())


def test_a_parameter_without_dimensions_gets_a_stand_in_value() -> None:
    module = Good()
    weights = WeightsSource(stand_in="s").weights_for(SPEC, module)
    assert weights.tensors["scale"].shape == ()
    assert 0.8 <= float(weights.tensors["scale"]) <= 1.2


def test_a_transform_of_somebody_else_s_library_that_fails(
    theirs: Callable[..., ModelSpec],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    from onnx_ir.passes import PassError

    def refuse(*_: object) -> int:
        raise PassError("an error occurred when running the pass")

    theirs()
    monkeypatch.setattr("trufor_onnx.export.transforms.clean.apply", refuse)
    assert main(["theirs", "--stand-in", "s", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "theirs: the transform clean failed: PassError: an error occurred" in said


def test_an_exporter_that_raises_anything(
    theirs: Callable[..., ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trufor_onnx.export.graph.trace import trace

    def refuse(*_: object, **__: object) -> None:
        raise TypeError("z_(): incompatible function arguments\nThe following are supported")

    spec = theirs()
    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(ExportError, match=r"torch's exporter, which failed: TypeError: z_\(\)"):
        trace(spec, spec.build())
