"""Which networks there are: ours, timm's, those of installed packages, and a user's own.

An outside package adds networks with an entry point in the group ``trufor_onnx.models``: a
callable without arguments that returns a `ModelSpec` or several::

    [project.entry-points."trufor_onnx.models"]
    my_networks = "my_package.onnx_specs:specs"
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from trufor_onnx.errors import ExportError
from trufor_onnx.export.foreign import foreign
from trufor_onnx.export.networks import users
from trufor_onnx.export.networks.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    TIMM_PREFIX,
    Judged,
    ModelSpec,
    Preprocessing,
    TensorSpec,
)

LEAST_SIZE = 32  # the arithmetic allows 29: stage 1 reduces by 8 x 8 at stride 4
STAGE_CHANNELS = (64, 128, 320, 512)
STAGE_STRIDES = (4, 8, 16, 32)

_IMAGE_AXES = ("batch", 3, "height", "width")
_IMAGE = TensorSpec("image", _IMAGE_AXES, "RGB / 256, in [0, 1)")
_NOISEPRINT = TensorSpec(
    "noiseprint", ("batch", 1, "height", "width"), "Noiseprint++ map, about -1..1 on real weights"
)
_TRUFOR_OUTPUTS = (
    TensorSpec("map", ("batch", "height", "width"), "probability that a pixel is forged, 0..1"),
    TensorSpec("conf", ("batch", "height", "width"), "reliability of the map, 0..1"),
    TensorSpec("score", ("batch",), "integrity score of the image, 0 pristine .. 1 forged"),
)
_JUDGED = Judged(score="score", maps=("map", "conf"))

NOISEPRINT_PP = ModelSpec(
    name="noiseprint_pp",
    title="Noiseprint++, the learned noise residual extractor",
    version="1",
    inputs=(_IMAGE,),
    outputs=(_NOISEPRINT,),
    builder="trufor_onnx.export.models.noiseprint_pp:NoiseprintPP",
    prefix="dncnn.",
    files=("noiseprint++.th", "trufor.pth.tar"),
)

MIT_B2 = ModelSpec(
    name="mit_b2",
    title="MiT-B2, the two-branch encoder of TruFor",
    version="1",
    inputs=(
        TensorSpec("rgb", _IMAGE_AXES, "(RGB / 256 - mean) / std, ImageNet mean and std"),
        TensorSpec("np", _IMAGE_AXES, "Noiseprint++ map, repeated to three channels"),
    ),
    outputs=tuple(
        TensorSpec(
            f"fused_{stage}",
            ("batch", channels, f"height_{stride}", f"width_{stride}"),
            f"fused features at stride {stride}",
        )
        for stage, (channels, stride) in enumerate(zip(STAGE_CHANNELS, STAGE_STRIDES, strict=True))
    ),
    builder="trufor_onnx.export.models.mit_b2:MiTB2",
    prefix="backbone.",
    files=("trufor.pth.tar", "mit_b2.pth"),
    preprocessing=Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD),
    least_size=LEAST_SIZE,
    second_branch="extra_",
    second_input="noiseprint",
)

TRUFOR = ModelSpec(
    name="trufor",
    title="TruFor, whole: localization map, reliability map, integrity score",
    version="1",
    inputs=(_IMAGE,),
    outputs=(*_TRUFOR_OUTPUTS, _NOISEPRINT),
    builder="trufor_onnx.export.models.trufor:TruFor",
    files=("trufor.pth.tar",),
    least_size=LEAST_SIZE,
    judged=_JUDGED,
)

TRUFOR_HEAD = ModelSpec(
    name="trufor_head",
    title="TruFor without its Noiseprint++, for extraction by tiles",
    version="1",
    inputs=(
        TensorSpec("rgb", _IMAGE_AXES, "RGB / 256, in [0, 1)"),
        TensorSpec(
            "np",
            ("batch", "np_channels", "height", "width"),
            "Noiseprint++ map, one channel, or the same repeated to three",
        ),
    ),
    outputs=_TRUFOR_OUTPUTS,
    builder="trufor_onnx.export.models.trufor:TruForHead",
    files=("trufor.pth.tar",),
    least_size=LEAST_SIZE,
    sizes={"np_channels": (1, 3)},
    elsewhere=("dncnn.",),
    second_input="noiseprint",
    judged=_JUDGED,
)
ENTRY_POINT_GROUP = "trufor_onnx.models"
OURS = (NOISEPRINT_PP, MIT_B2, TRUFOR, TRUFOR_HEAD)


# Those that this process was told of (`offer`), by name.
_offered: dict[str, ModelSpec] = {}


def offer(spec: ModelSpec) -> ModelSpec:
    """Let a network be found by its name in this process.

    Raises:
        ExportError: one of ours is called so.
    """
    if spec.name in {own.name for own in OURS} or spec.name.startswith(TIMM_PREFIX):
        raise ExportError(f"the name {spec.name!r} is taken", hint="give your network another one")
    _offered[spec.name] = spec
    return spec


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
            hint="its function must return trufor_onnx.export.networks.spec.ModelSpec objects",
        )
    return specs


def find(name: str) -> ModelSpec:
    """The network called ``name``; ``timm:NAME`` is any image backbone of timm.

    Our own networks are found whatever else is installed. The name may come out of a lock or a
    report, of anybody's: no code is run because it names some (`find_typed`).

    Raises:
        ExportError: there is none.
    """
    if name.startswith(TIMM_PREFIX):
        from trufor_onnx.export.networks.timm_specs import timm_spec

        return timm_spec(name.removeprefix(TIMM_PREFIX))
    own = next((spec for spec in OURS if spec.name == name), None)
    if own is not None:
        return own
    told = _offered or {spec.name: offer(spec) for spec in users.told_specs()}
    if name in told:
        return told[name]
    specs = registered()
    if name not in specs:
        raise ExportError(
            f"no network is called {name!r}",
            hint=f"there are {', '.join(specs)}, timm:NAME for any image backbone of timm, and "
            "FILE.py:CALLABLE for one of your own",
        )
    return specs[name]


def find_typed(name: str) -> ModelSpec:
    """The network that a user typed, who may also name code to run: `export.networks.users`.

    Raises:
        ExportError: there is none, or it is no network.
    """
    return offer(users.users_spec(name)) if users.is_users(name) else find(name)
