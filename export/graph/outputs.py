"""What a network returns, as named tensors: tuples, dicts, dataclasses, one in another.

Everything is flattened in one order: a dict by its keys as they were put in, a dataclass by its
fields as they are declared, a tuple or a list by position; what stands inside another comes where
that stands. The name of a tensor is its way: ``mask``, ``features.0``, ``output_1.edge``. ``None``
is left out, and said. A spec that names just these outputs may have them in any order; of a dict
or a dataclass it must name these.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from trufor_onnx.errors import ExportError, UserError
from trufor_onnx.export.networks.spec import ModelSpec

if TYPE_CHECKING:
    import torch

RETURNS_HINT = "a network must return tensors: one, or tuples, dicts and dataclasses of them"
DEEPEST = 20  # of what stands inside another

logger = logging.getLogger(__name__)


def leaves(given: object, way: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Whatever is no tuple, list, dict or dataclass, with its way; see above."""
    import torch

    inner: Iterable[tuple[object, object]]
    if isinstance(given, torch.Tensor) or depth > DEEPEST:
        inner = ()
    elif isinstance(given, Mapping):
        inner = given.items()
    elif dataclasses.is_dataclass(given) and not isinstance(given, type):
        inner = ((field.name, getattr(given, field.name)) for field in dataclasses.fields(given))
    elif isinstance(given, tuple | list):
        places = range(len(given)) if way else (f"output_{n}" for n in range(len(given)))
        inner = zip(getattr(given, "_fields", places), given, strict=True)
    else:
        inner = ()
    within = [
        leaves(value, f"{way}.{name}" if way else f"{name}", depth + 1) for name, value in inner
    ]
    if within:
        yield from chain.from_iterable(within)
    else:
        yield way, given


def output_tensors(
    spec: ModelSpec, given: object, *, kind: type[UserError] = ExportError
) -> tuple[torch.Tensor, ...]:
    """What a network returned, as tensors in the order of its spec.

    Args:
        spec: the network.
        given: what its ``forward`` returned.
        kind: the error to raise.

    Raises:
        UserError: of ``kind``: something in it is no tensor; there are more or fewer than the
            spec has, or named ones have other names; one is complex, sparse or bfloat16, which
            NumPy or ONNX does not have; or its axes are not those of the spec.
    """
    import torch

    names = [tensor.name for tensor in spec.outputs]
    every = list(leaves(given))
    absent = [way for way, output in every if output is None]
    if 0 < len(absent) < len(every):
        _say_once(spec.name, ", ".join(absent))
    found: list[tuple[str, torch.Tensor]] = []
    for way, output in every:
        if isinstance(output, torch.Tensor):
            found.append((way, output))
        elif output is not None or len(absent) == len(every):
            which = f": its output {way} is" if way else " returns"
            raise kind(f"{spec.name}{which} {_described(output)}", hint=RETURNS_HINT)
    by_name = dict(found)
    named = isinstance(given, Mapping) or dataclasses.is_dataclass(given)
    if len(found) != len(names) or len(by_name) != len(names):
        ways = f" ({', '.join(way for way, _ in found)})" if named else ""
        raise kind(
            f"{spec.name} returns {len(found)} outputs{ways}, its spec names {names}",
            hint="mend the spec's outputs",
        )
    if by_name.keys() == set(names):
        outputs = tuple(by_name[name] for name in names)
    elif named:
        raise kind(
            f"{spec.name} returns {', '.join(by_name)}, its spec names {', '.join(names)}",
            hint="call the spec's outputs by the names that the network gives them",
        )
    else:
        outputs = tuple(output for _, output in found)
    for tensor, output in zip(spec.outputs, outputs, strict=True):
        if fault := _not_plain(output):
            raise kind(f"{spec.name}: its output {tensor.name} is {fault[0]}", hint=fault[1])
        shape, axes = tuple(output.shape), tensor.axes
        if len(axes) != len(shape) or any(
            isinstance(axis, int) and axis != size for axis, size in zip(axes, shape, strict=True)
        ):
            raise kind(
                f"{spec.name}: its output {tensor.name} has shape {shape}, its spec says "
                f"({', '.join(map(str, axes))})",
                hint="mend the axes of this output in the spec",
            )
    return outputs


def _not_plain(output: torch.Tensor) -> tuple[str, str] | None:
    """What NumPy or ONNX has no form for, and what to do; None where there is nothing."""
    import torch

    if output.is_complex():
        return f"{output.dtype}", "return its real and imaginary part, or its magnitude"
    if output.layout is not torch.strided or output.is_quantized:
        return "a sparse or quantised tensor", "return a dense one: .to_dense()"
    if output.dtype is torch.bfloat16:
        return f"{output.dtype}", "return float32: .float()"
    if output.device.type != "cpu":
        return f"on {output.device}", "build the network on the CPU"
    return None


def _described(given: object) -> str:
    if given is None:
        return "None"
    name = type(given).__name__
    empty = "an empty" if isinstance(given, tuple | list | Mapping) and not given else ""
    return f"{empty or ('an' if name[0] in 'aeiouAEIOU' else 'a')} {name}"


@cache
def _say_once(name: str, ways: str) -> None:
    logger.warning("%s returns None as %s: left out", name, ways)
