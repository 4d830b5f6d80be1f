"""The TruFor networks as data. Their arithmetic is in ``export/models/``."""

from __future__ import annotations

from export.spec import IMAGENET_MEAN, IMAGENET_STD, Judged, ModelSpec, Preprocessing, TensorSpec

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
    builder="export.models.noiseprint_pp:NoiseprintPP",
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
    builder="export.models.mit_b2:MiTB2",
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
    builder="export.models.trufor:TruFor",
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
    builder="export.models.trufor:TruForHead",
    files=("trufor.pth.tar",),
    least_size=LEAST_SIZE,
    sizes={"np_channels": (1, 3)},
    elsewhere=("dncnn.",),
    second_input="noiseprint",
    judged=_JUDGED,
)
