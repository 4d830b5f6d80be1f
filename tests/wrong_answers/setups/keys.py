"""Stored references, rows of other backends, the last release's outputs, costs."""

from __future__ import annotations

import json

from tests.parity.gate.conftest import bench_document
from tests.wrong_answers.workshop import ROOT, Workshop, set_up

RELU = "from torch import nn\n\n\ndef act():\n    return nn.ReLU()\n"
GELU = RELU.replace("ReLU", "GELU")


def _uses_blocks(w: Workshop) -> tuple[object, ...]:
    """`UsesBlocks` exported and run once; the options of the run."""
    (w.site / "blocks.py").write_text(RELU)
    w.network("uses_blocks", "UsesBlocks")
    options = ("--models", "uses_blocks", "--stand-in", "a", "--images", w.images())
    ran = w.run("parity", "run", *options)
    assert ran.code == 0, ran.text
    return options


def _all_anew(w: Workshop, options: tuple[object, ...], first: object) -> str:
    """Run once more: everything is computed as it was the first time, and the old file fails."""
    changed = w.run("parity", "run", *options)
    counts = w.report()["models"]["uses_blocks"]["references"]
    assert counts == first and changed.code == 1, (counts, changed.text)
    return f"exit 1, {counts['computed']} references computed anew"


@set_up(
    "3a",
    "UsesBlocks: run, change blocks.py to GELU, run",
    "references computed anew; the old file fails",
)
def changed_import(w: Workshop) -> str:
    options = _uses_blocks(w)
    first = w.report()["models"]["uses_blocks"]["references"]
    again = w.run("parity", "run", *options)
    assert again.code == 0, again.text
    counts = w.report()["models"]["uses_blocks"]["references"]
    assert counts["computed"] == 0, counts  # unchanged: all from the cache
    (w.site / "blocks.py").write_text(GELU)
    return _all_anew(w, options, first)


@set_up(
    "3b",
    "the same where blocks is an installed distribution that gets another version",
    "references computed anew; the old file fails",
)
def changed_distribution(w: Workshop) -> str:
    info = w.site / "blocks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocks\nVersion: 1.0\n")
    (info / "RECORD").write_text("blocks.py,sha256=a,10\n")
    options = _uses_blocks(w)
    first = w.report()["models"]["uses_blocks"]["references"]
    (w.site / "blocks.py").write_text(GELU)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocks\nVersion: 1.1\n")
    return _all_anew(w, options, first)


@set_up(
    "3c",
    "the same where blocks is imported from a folder that the network adds to sys.path",
    "nothing is kept; the old file fails",
)
def hidden_import(w: Workshop) -> str:
    lib = w.folder / "lib"
    lib.mkdir()
    text = (
        "import sys\nfrom torch import nn\n\n\ndef build():\n"
        f"    sys.path.insert(0, {str(lib)!r})\n    from hidden import act\n\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), act(), nn.Conv2d(4, 1, 1))\n"
    )
    (w.site / "adds_path.py").write_text(text)
    (lib / "hidden.py").write_text(RELU)
    w.network("adds_path", "adds_path:build")
    options = ("--models", "adds_path", "--stand-in", "a", "--images", w.images())
    ran = w.run("parity", "run", *options)
    assert ran.code == 0, ran.text
    (lib / "hidden.py").write_text(GELU)
    changed = w.run("parity", "run", *options)
    assert changed.code == 1, changed.text
    assert "references are not kept" in changed.err, changed.err
    return "exit 1, no cache, said"


POLICY = """
[weights]
reason = "a set-up, made from a seed"
allow_stand_in = true
"""


def _stopped_by(w: Workshop, *words: object) -> tuple[list[str], dict[str, str]]:
    """The gate's rules that stop, and what each rule saw."""
    (w.folder / "policy.toml").write_text(POLICY)
    ran = w.run("parity", "gate", "--policy", "policy.toml", "--json", *words)
    assert ran.out.startswith("{"), ran.text
    found = json.loads(ran.out)
    outcomes = {rule["rule"]: f"{rule['outcome']}: {rule['saw']}" for rule in found["rules"]}
    return list(found["stopped_by"]), outcomes


@set_up(
    "32",
    "BATCH_NORM_EPS = 1e-3 in a copy of the Noiseprint++ network; export, run, gate, compare",
    "stopped: not the last release's outputs; a new version goes on",
)
def both_sides_changed(w: Workshop) -> str:
    code = (ROOT / "export" / "models" / "noiseprint_pp.py").read_text("utf-8")
    code += "\n\ndef small():\n    return NoiseprintPP(NoiseprintConfig(depth=5, width=8))\n"
    (w.site / "np_copy.py").write_text(code)
    w.network("np_copy", "np_copy:small", scale=256.0)
    models = ("--models", "np_copy", "--stand-in", "a", "--images", w.images(10))

    def measure(out: str) -> None:
        files = f"{out}_models"
        exported = w.run("export", "np_copy", "--stand-in", "a", "--out", files)
        assert exported.code == 0, exported.text
        ran = w.run("parity", "run", *models, "--onnx-models", files, "--out", out)
        assert ran.code == 0, ran.text

    def gate(out: str, *baseline: object) -> tuple[list[str], dict[str, str]]:
        return _stopped_by(w, f"{out}/parity.json", "--onnx-models", f"{out}_models", *baseline)

    measure("old")
    bundle = w.run("parity", "reference", *models, "--out", "old/references.bundle")
    assert bundle.code == 0, bundle.text
    assert "references" not in gate("old", "--baseline", "old")[0]
    changed = code.replace("BATCH_NORM_EPS = 1e-5", "BATCH_NORM_EPS = 1e-3")
    assert changed != code
    (w.site / "np_copy.py").write_text(changed)
    measure("new")
    for baseline in ("old/parity.json", "old/references.bundle", "old"):
        stopped, saw = gate("new", "--baseline", baseline)
        assert "references" in stopped, (baseline, saw["references"])
        assert "under the same version 1 and weights" in saw["references"], saw["references"]
    compared = w.run("parity", "compare", "old/parity.json", "new/parity.json")
    assert compared.code == 1 and "np_copy: float64 outputs" in compared.out, compared.text
    by_bundle = ("--models", "np_copy", "--images", w.images(10), "--onnx-models", "new_models")
    ran = w.run(
        "parity", "run", *by_bundle, "--reference", "old/references.bundle", "--out", "against"
    )
    assert ran.code == 1, ran.text
    w.network("np_copy", "np_copy:small", scale=256.0, version="2")
    measure("next")
    stopped, saw = gate("next", "--baseline", "old")
    assert "references" not in stopped and "version 2, was 1" in saw["references"], saw
    ran = w.run("parity", "run", *by_bundle, "--reference", "old/references.bundle")
    assert ran.code == 2 and "it was made with version 1" in ran.text, ran.text
    return "stopped by references, with report, bundle and folder; compare exit 1"


@set_up(
    "34a",
    "bench.json with 149 MB and 608 MB peaks, gate with --baseline old/parity.json",
    "memory fails",
)
def memory_in_turns(w: Workshop) -> str:
    w.network("tiny_np", "Tiny")
    digests = []
    for seed in ("old", "new"):
        exported = w.run("export", "tiny_np", "--stand-in", seed, "--out", seed)
        assert exported.code == 0, exported.text
        options = ("--models", "tiny_np", "--stand-in", seed, "--images", w.images(10))
        ran = w.run("parity", "run", *options, "--onnx-models", seed, "--out", seed)
        assert ran.code == 0, ran.text
        digests.append(w.report(seed)["models"]["tiny_np"]["file"]["sha256"])
    given = {"old": digests[0], "sha256": digests[1], "old_peak": 149 << 20, "seed": 2}
    outcomes = []
    for name, peak in (("grown", 608 << 20), ("equal", 150 << 20)):
        bench = bench_document(peak=peak, **given)
        (w.folder / f"{name}.json").write_text(json.dumps(bench))
        _, saw = _stopped_by(
            w,
            "new/parity.json",
            "--onnx-models",
            "new",
            "--bench",
            f"{name}.json",
            "--baseline",
            "old/parity.json",
        )
        outcomes.append(saw["memory"])
    assert outcomes[0].startswith("fail: "), outcomes
    assert outcomes[1].startswith("pass: "), outcomes
    return outcomes[0][:80]


@set_up(
    "34b",
    "memory where no baseline has a peak, or one of another machine; the same bytes as candidate",
    "not judged; equal",
)
def memory_without_a_baseline(w: Workshop) -> str:
    w.network("tiny_np", "Tiny")
    exported = w.run("export", "tiny_np", "--stand-in", "a")
    assert exported.code == 0, exported.text
    options = ("--models", "tiny_np", "--stand-in", "a", "--images", w.images(10))
    ran = w.run("parity", "run", *options)
    assert ran.code == 0, ran.text
    sha256 = w.report()["models"]["tiny_np"]["file"]["sha256"]
    for name, processor in (("here", "this one"), ("elsewhere", "another")):
        bench = bench_document(sha256=sha256, processor=processor)
        (w.folder / f"{name}.json").write_text(json.dumps(bench))
    report = "reports/parity/parity.json"
    for baseline in (report, "elsewhere.json"):
        _, saw = _stopped_by(w, report, "--bench", "here.json", "--baseline", baseline)
        assert saw["memory"].startswith("not judged: "), saw["memory"]
    same = w.run(
        "parity",
        "run",
        *options,
        "--candidate",
        "tiny_np=onnx_models/tiny_np.onnx",
        "--out",
        "as_candidate",
    )
    assert same.code == 0, same.text
    (w.folder / "onnx_models" / "tiny_np.lock.json").unlink()
    w.run(
        "parity",
        "run",
        *options,
        "--candidate",
        "tiny_np=onnx_models/tiny_np.onnx",
        "--out",
        "bare",
    )
    assert list(w.report("bare")["models"]["tiny_np"]["variants"]) == ["candidate"]
    for other in ("as_candidate", "bare"):
        compared = w.run("parity", "compare", report, f"{other}/parity.json")
        assert compared.code == 0, compared.text
    return "not judged, twice; compare exit 0"
