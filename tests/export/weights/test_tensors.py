"""A network's weights are complete, finite, and their origin is said in every label."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from trufor_onnx.errors import CoverageError, ExportError
from trufor_onnx.export.networks.registry import MIT_B2
from trufor_onnx.export.networks.spec import ModelSpec
from trufor_onnx.export.weights.checkpoints import Checkpoint
from trufor_onnx.export.weights.standin import stand_in_tensor
from trufor_onnx.export.weights.tensors import checkpoint_weights, stand_in_weights

Specs = dict[str, ModelSpec]
Tensors = dict[str, torch.Tensor]


def checkpoint(tensors: Tensors, name: str = "trufor.pth.tar") -> Checkpoint:
    return Checkpoint(Path("folder") / name, "0" * 64, "state_dict", tensors)


@pytest.fixture(scope="module")
def whole(tiny: Specs) -> Tensors:
    """The tensors of the tiny whole network, as its checkpoint has them."""
    module = tiny["trufor"].build()
    return dict(stand_in_weights(tiny["trufor"], module, "a").tensors)


@pytest.fixture(scope="module")
def one_branch(tiny: Specs) -> Tensors:
    """A SegFormer checkpoint: one branch of the tiny encoder, and a classifier."""
    module = tiny["mit_b2"].build()
    encoder = stand_in_weights(tiny["mit_b2"], module, "b").tensors
    branch = {n: t for n, t in encoder.items() if not n.startswith(("extra_", "FRMs", "FFMs"))}
    return branch | {"head.weight": torch.zeros(10, 16), "head.bias": torch.zeros(10)}


@pytest.mark.parametrize("name", ["noiseprint_pp", "mit_b2", "trufor", "trufor_head"])
def test_each_network_takes_its_part_of_the_whole(name: str, tiny: Specs, whole: Tensors) -> None:
    spec = tiny[name]
    weights = checkpoint_weights(spec, spec.build(), checkpoint(whole))
    for own, tensor in weights.tensors.items():
        assert torch.equal(tensor, whole[spec.prefix + own])
    assert weights.kind == "checkpoint"
    assert weights.label == "trufor.pth.tar"
    assert weights.coverage["parameters_set"] == weights.coverage["parameters"] > 0
    assert weights.coverage["parameters_stand_in"] == 0
    left = {
        "noiseprint_pp": {"backbone", "decode_head", "decode_head_conf", "detection"},
        "mit_b2": {"dncnn", "decode_head", "decode_head_conf", "detection"},
        "trufor": set(),
        "trufor_head": {"dncnn"},
    }
    assert set(re.findall(r"(\w+)\.\* \(\d+\)", weights.left)) == left[name]


def test_a_part_has_the_stand_in_values_of_the_whole(tiny: Specs) -> None:
    spec = tiny["noiseprint_pp"]
    weights = stand_in_weights(spec, spec.build(), "seed")
    expected = stand_in_tensor("seed", "dncnn.0.weight", tuple(weights.tensors["0.weight"].shape))
    assert torch.equal(weights.tensors["0.weight"], torch.from_numpy(expected))
    assert weights.label == "stand-in weights (seed seed)"
    assert weights.document()["stand_in"] == ["*"]


def test_the_digest_knows_names_shapes_and_values(tiny: Specs) -> None:
    spec = tiny["noiseprint_pp"]
    module = spec.build()
    same = stand_in_weights(spec, module, "a"), stand_in_weights(spec, module, "a")
    assert same[0].digest == same[1].digest
    assert stand_in_weights(spec, module, "b").digest != same[0].digest
    tensors = dict(same[0].tensors)
    bias = tensors["0.bias"].clone()
    bias[0] = torch.nextafter(bias[0], torch.tensor(9.0))
    changed = checkpoint_weights(spec, module, checkpoint(tensors | {"0.bias": bias}))
    assert changed.digest != same[0].digest
    different = [n for n in tensors if changed.digests[n] != same[0].digests[n]]
    assert different == ["0.bias"]
    swapped = tensors | {"3.running_mean": tensors["6.running_mean"]}
    swapped["6.running_mean"] = tensors["3.running_mean"]
    found = checkpoint_weights(spec, module, checkpoint(swapped))
    assert found.digest != same[0].digest


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_not_finite_is_refused_by_name(bad: float, tiny: Specs, whole: Tensors) -> None:
    damaged = whole["dncnn.0.weight"].clone()
    damaged[0, 0, 0, 0] = bad
    with pytest.raises(ExportError, match=r"NaN or infinity in 1 tensors: 0\.weight"):
        checkpoint_weights(
            tiny["noiseprint_pp"],
            tiny["noiseprint_pp"].build(),
            checkpoint(whole | {"dncnn.0.weight": damaged}),
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_and_said(
    dtype: torch.dtype, tiny: Specs, whole: Tensors
) -> None:
    half = {name: t.to(dtype) if t.is_floating_point() else t for name, t in whole.items()}
    spec, name = tiny["trufor"], str(dtype).removeprefix("torch.")
    weights = checkpoint_weights(spec, spec.build(), checkpoint(half))
    assert weights.label == f"trufor.pth.tar (stored as {name})"
    assert weights.document()["stored_as"] == {name: sum(t.dtype == dtype for t in half.values())}
    for own, tensor in weights.tensors.items():
        assert tensor.dtype == whole[own].dtype
        assert torch.equal(tensor, half[own].to(tensor.dtype))
    plain = checkpoint_weights(spec, spec.build(), checkpoint(whole))
    assert "stored_as" not in plain.document()


def test_a_wider_type_than_the_network_has_is_refused_with_both(
    tiny: Specs, whole: Tensors
) -> None:
    wide = {name: t.double() if t.is_floating_point() else t for name, t in whole.items()}
    with pytest.raises(CoverageError, match=r"float64\[.*in the checkpoint, float32\["):
        checkpoint_weights(tiny["trufor"], tiny["trufor"].build(), checkpoint(wide))


def test_training_counters_may_be_absent_and_weights_may_not(tiny: Specs) -> None:
    spec = tiny["noiseprint_pp"]
    whole = dict(stand_in_weights(spec, spec.build(), "a").tensors)
    counters = [name for name in whole if name.endswith("num_batches_tracked")]
    rest = {name: t for name, t in whole.items() if name not in counters}
    assert counters
    weights = checkpoint_weights(spec, spec.build(), checkpoint(rest))
    assert weights.kind == "checkpoint" and weights.tensors.keys() == whole.keys()
    del rest["0.bias"]
    with pytest.raises(CoverageError, match=r"0\.bias"):
        checkpoint_weights(spec, spec.build(), checkpoint(rest))


def test_a_training_scripts_prefix_goes_where_it_alone_fits(tiny: Specs) -> None:
    spec = tiny["noiseprint_pp"]
    whole = dict(stand_in_weights(spec, spec.build(), "a").tensors)
    lightning = {f"model.{name}": t for name, t in whole.items()} | {"loss.weight": torch.ones(2)}
    weights = checkpoint_weights(spec, spec.build(), checkpoint(lightning))
    assert all(torch.equal(weights.tensors[name], t) for name, t in whole.items())
    assert weights.left == "loss.* (1)"
    assert weights.sources["0.bias"] == "model.0.bias"
    twice = lightning | {f"teacher.{name}": t + 1 for name, t in whole.items()}
    with pytest.raises(CoverageError, match="missing"):  # which of the two nobody said
        checkpoint_weights(spec, spec.build(), checkpoint(twice))
    torn = {name: t for name, t in lightning.items() if name != "model.0.bias"}
    with pytest.raises(CoverageError, match="missing"):
        checkpoint_weights(spec, spec.build(), checkpoint(torn))


class Making(torch.nn.Module):
    """Makes a table that its state dict does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("table", torch.arange(3.0), persistent=False)


def test_a_table_that_the_network_makes_is_left_out_where_it_is_the_same(tiny: Specs) -> None:
    given = {"scale": torch.tensor([2.0, 3.0]), "table": torch.arange(3.0)}
    found = checkpoint_weights(tiny["noiseprint_pp"], Making(), checkpoint(given))
    assert found.tensors.keys() == {"scale"}
    with pytest.raises(CoverageError, match=r"unexpected tensors.*\n +table"):
        other = given | {"table": torch.arange(3.0) + 1}
        checkpoint_weights(tiny["noiseprint_pp"], Making(), checkpoint(other))


def test_a_missing_tensor_is_named(tiny: Specs, whole: Tensors) -> None:
    name = "backbone.block2.1.attn.q.weight"
    rest = {n: t for n, t in whole.items() if n != name}
    with pytest.raises(CoverageError, match=r"missing 1 tensors.*\n +block2\.1\.attn\.q\.weight"):
        checkpoint_weights(tiny["mit_b2"], tiny["mit_b2"].build(), checkpoint(rest))


def test_an_unexpected_tensor_is_named(tiny: Specs, whole: Tensors) -> None:
    with pytest.raises(CoverageError, match=r"1 unexpected tensors.*\n +strange"):
        checkpoint_weights(
            tiny["trufor"],
            tiny["trufor"].build(),
            checkpoint(whole | {"strange": torch.zeros(1)}),
        )


def test_tensors_that_are_views_come_out_contiguous(tiny: Specs, whole: Tensors) -> None:
    name = "backbone.block1.0.attn.q.weight"
    turned = whole | {name: whole[name].T.contiguous().T}
    assert not turned[name].is_contiguous()
    spec = tiny["mit_b2"]
    weights = checkpoint_weights(spec, spec.build(), checkpoint(turned))
    assert weights.digest == checkpoint_weights(spec, spec.build(), checkpoint(whole)).digest


def test_one_branch_alone_is_refused_with_the_two_ways_out(
    tiny: Specs, one_branch: Tensors
) -> None:
    spec = tiny["mit_b2"]
    with pytest.raises(CoverageError) as refusal:
        checkpoint_weights(spec, spec.build(), checkpoint(one_branch, "mit_b2.pth"))
    assert re.fullmatch(
        r"\S+mit_b2\.pth as mit_b2: covers [\d,]+ of [\d,]+ parameters \(\d+\.\d %\); "
        r"FRMs\.\*, FFMs\.\* are in no such file",
        refusal.value.problem,
    )
    assert "trufor.pth.tar" in refusal.value.hint
    assert "--weights FILE --stand-in golden" in refusal.value.hint


def test_one_branch_with_a_seed_for_the_rest(tiny: Specs, one_branch: Tensors) -> None:
    spec = tiny["mit_b2"]
    weights = checkpoint_weights(
        spec, spec.build(), checkpoint(one_branch, "mit_b2.pth"), fill_seed="s"
    )
    assert {name.partition(".")[0] for name in weights.stand_in} == {"FRMs", "FFMs"}
    for name, tensor in weights.tensors.items():
        if name in weights.stand_in and tensor.is_floating_point():
            value = stand_in_tensor("s", f"backbone.{name}", tuple(tensor.shape))
            assert torch.equal(tensor, torch.from_numpy(value))
        elif name not in weights.stand_in:
            assert torch.equal(tensor, one_branch[name.removeprefix("extra_")])
    share = f"{len(weights.stand_in)} of {len(weights.tensors)} tensors"
    assert weights.label == f"mit_b2.pth + stand-in weights (seed s) for {share}"
    document = weights.document()
    assert document["kind"] == "checkpoint+stand-in"
    assert document["seed"] == "s"
    assert document["stand_in"] == list(weights.stand_in)
    assert document["left_in_checkpoint"] == "head.* (2)"
    assert 0 < document["coverage"]["parameters_stand_in"] < document["coverage"]["parameters"]
    assert weights.sources["extra_norm1.weight"] == "norm1.weight"


def test_a_damaged_branch_is_an_ordinary_fault(tiny: Specs, one_branch: Tensors) -> None:
    rest = {n: t for n, t in one_branch.items() if n != "block4.0.mlp.fc1.weight"}
    spec = tiny["mit_b2"]
    with pytest.raises(CoverageError) as refusal:
        checkpoint_weights(spec, spec.build(), checkpoint(rest, "mit_b2.pth"))
    assert "block4.0.mlp.fc1.weight" in refusal.value.problem
    assert "in no such file" not in refusal.value.problem


def test_a_seed_fills_gaps_but_not_everything(tiny: Specs, whole: Tensors) -> None:
    spec = tiny["noiseprint_pp"]
    stranger = {"0.other": torch.zeros(1)}
    with pytest.raises(CoverageError, match="covers 0 of"):
        checkpoint_weights(spec, spec.build(), checkpoint(stranger), fill_seed="s")
    misspelt = {n: t for n, t in whole.items() if n != "dncnn.0.weight"}
    misspelt["dncnn.0.weigth"] = whole["dncnn.0.weight"]
    with pytest.raises(CoverageError, match=r"unexpected tensors.*\n +0\.weigth"):
        checkpoint_weights(spec, spec.build(), checkpoint(misspelt), fill_seed="s")


def test_a_seed_that_fills_nothing_is_not_mentioned(tiny: Specs, whole: Tensors) -> None:
    weights = checkpoint_weights(
        tiny["trufor"], tiny["trufor"].build(), checkpoint(whole), fill_seed="s"
    )
    assert (weights.kind, weights.seed, weights.stand_in) == ("checkpoint", "", ())


@pytest.mark.slow
def test_the_published_error_at_full_size() -> None:
    """The file that a widely copied export loads with "missing names are fine"."""
    module: torch.nn.Module = MIT_B2.build()
    branch = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if not name.startswith(("extra_", "FRMs", "FFMs"))
    }
    branch |= {"head.weight": torch.zeros(1000, 512), "head.bias": torch.zeros(1000)}
    with pytest.raises(CoverageError) as refusal:
        checkpoint_weights(MIT_B2, module, checkpoint(branch, "mit_b2.pth"))
    assert refusal.value.problem.endswith(
        "covers 48.4 M of 65.0 M parameters (74.5 %); FRMs.*, FFMs.* are in no such file"
    )


def test_file_names_that_are_no_utf8(tiny: Specs, whole: Tensors) -> None:
    spec = tiny["noiseprint_pp"]
    weights = checkpoint_weights(spec, spec.build(), checkpoint(whole, "we\udcffights.pth"))
    assert weights.label.encode() == b"we?ights.pth"
