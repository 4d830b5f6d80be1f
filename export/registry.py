"""Which networks there are: ours, timm's, and those of installed packages.

An outside package adds networks with an entry point in the group ``trufor_onnx.models``: a
callable without arguments that returns a `ModelSpec` or several::

    [project.entry-points."trufor_onnx.models"]
    my_networks = "my_package.onnx_specs:specs"
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points

from export.errors import ExportError
from export.spec import ModelSpec, Preprocessing, TensorSpec
from export.trufor_specs import MIT_B2, NOISEPRINT_PP, TRUFOR, TRUFOR_HEAD

ENTRY_POINT_GROUP = "trufor_onnx.models"
TIMM_PREFIX = "timm:"
OURS = (NOISEPRINT_PP, MIT_B2, TRUFOR, TRUFOR_HEAD)


@cache
def registered() -> dict[str, ModelSpec]:
    """All named networks: ours first, then those of entry points.

    Raises:
        ExportError: an entry point does not load, gives something else, or takes a name in use.
    """
    specs = {spec.name: spec for spec in OURS}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        for spec in _specs_of(entry.name, entry.load()()):
            if spec.name in specs:
                raise ExportError(
                    f"two networks are called {spec.name!r} (entry point {entry.name!r})",
                    hint="rename or uninstall one of the packages",
                )
            specs[spec.name] = spec
    return specs


def _specs_of(entry: str, given: object) -> Iterable[ModelSpec]:
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    for spec in found:
        if not isinstance(spec, ModelSpec):
            raise ExportError(
                f"entry point {entry!r} gave {type(spec).__name__}, not a ModelSpec",
                hint="its function must return export.spec.ModelSpec objects",
            )
        yield spec


def find(name: str) -> ModelSpec:
    """The network called ``name``; ``timm:NAME`` is any image backbone of timm.

    Raises:
        ExportError: there is none.
    """
    if name.startswith(TIMM_PREFIX):
        from export.timm_specs import timm_spec

        return timm_spec(name.removeprefix(TIMM_PREFIX))
    specs = registered()
    if name not in specs:
        raise ExportError(
            f"no network is called {name!r}",
            hint=f"there are {', '.join(specs)}, and timm:NAME for any image backbone of timm",
        )
    return specs[name]


__all__ = [
    "ENTRY_POINT_GROUP",
    "ModelSpec",
    "Preprocessing",
    "TensorSpec",
    "find",
    "registered",
]
