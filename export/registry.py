"""Which networks there are: ours, timm's, and those of installed packages.

An outside package adds networks with an entry point in the group ``trufor_onnx.models``: a
callable without arguments that returns a `ModelSpec` or several::

    [project.entry-points."trufor_onnx.models"]
    my_networks = "my_package.onnx_specs:specs"
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from export.errors import ExportError
from export.foreign import foreign
from export.spec import ModelSpec
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
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (e.name, e.value)):
        for spec in _specs_of(entry):
            if spec.name in specs or spec.name.startswith(TIMM_PREFIX):
                raise ExportError(
                    f"entry point {entry.name!r} ({entry.value}): the name {spec.name!r} is taken",
                    hint="rename its network, or uninstall the package",
                )
            specs[spec.name] = spec
    return specs


def _specs_of(entry: EntryPoint) -> tuple[ModelSpec, ...]:
    where = f"entry point {entry.name!r} ({entry.value})"
    hint = "it must name a function without arguments; mend or uninstall its package"
    with foreign(f"{where} does not load: it", hint=hint):
        given: object = entry.load()()
        found = tuple(given) if isinstance(given, Iterable) else (given,)
    specs = tuple(spec for spec in found if isinstance(spec, ModelSpec))
    if len(specs) != len(found):
        strange = next(type(spec).__name__ for spec in found if not isinstance(spec, ModelSpec))
        raise ExportError(
            f"{where} gave {strange}, not a ModelSpec",
            hint="its function must return export.spec.ModelSpec objects",
        )
    return specs


def find(name: str) -> ModelSpec:
    """The network called ``name``; ``timm:NAME`` is any image backbone of timm.

    Our own networks are found whatever else is installed.

    Raises:
        ExportError: there is none.
    """
    if name.startswith(TIMM_PREFIX):
        from export.timm_specs import timm_spec

        return timm_spec(name.removeprefix(TIMM_PREFIX))
    own = next((spec for spec in OURS if spec.name == name), None)
    if own is not None:
        return own
    specs = registered()
    if name not in specs:
        raise ExportError(
            f"no network is called {name!r}",
            hint=f"there are {', '.join(specs)}, and timm:NAME for any image backbone of timm",
        )
    return specs[name]
