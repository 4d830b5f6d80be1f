"""Single rules at their edges: nothing to judge is never a pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trufor_onnx.documents import decode, encode
from trufor_onnx.errors import ExportError
from trufor_onnx.export.lock import lock_path
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.evidence import gather
from trufor_onnx.parity.gate.findings import Decision, Finding, Outcome
from trufor_onnx.parity.gate.policy import Policy, load_policy
from trufor_onnx.parity.gate.rules.whole import cases_rule
from trufor_onnx.parity.inputs.made import is_made
from trufor_onnx.parity.results.rows import AS_LOCKED, PROVEN, Group, Row
from trufor_onnx.parity.results.summary import summarise

Make = Callable[..., Any]


def of(decision: Decision, rule: str) -> Finding:
    return next(finding for finding in decision.findings if finding.rule == rule)


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Policy]:
    def load(text: str) -> Policy:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_policy(path)

    return load


@pytest.mark.parametrize("rule", ["pieces", "memory", "latency", "digests", "placement"])
def test_what_cannot_be_judged_is_no_pass(
    good: Any, policy: Callable[[str], Policy], rule: str
) -> None:
    (good.models / "tiny_np.onnx").unlink()

    def forget(document: dict[str, Any]) -> None:
        document["models"]["tiny_np"]["placement"] = {}

    good.edit(forget)
    strict = policy(f'[{rule}]\nreason = "wanted"\nwhen_absent = "refuse"\n')
    decision = good.judged(policy=strict)
    assert of(decision, rule).outcome is Outcome.COULD_NOT
    assert decision.exit_code == 2
    lax = policy(f'[{rule}]\nreason = "not wanted"\nwhen_absent = "allow"\n')
    assert of(good.judged(policy=lax), rule).outcome is Outcome.NOT_JUDGED


def test_nothing_judged_at_all_is_exit_2() -> None:
    found = Finding("pieces", Outcome.NOT_JUDGED, "", "", "")
    assert Decision((found,), "", "").exit_code == 2
    assert Decision((), "", "").exit_code == 2


def test_no_cases_are_never_enough(good: Any, policy: Callable[[str], Policy]) -> None:
    def empty(document: dict[str, Any]) -> None:
        document["rows"] = document["shape_rows"] = document["summary"]["groups"] = []
        document["summary"]["counts"] = dict.fromkeys(document["summary"]["counts"], 0)
        document["summary"]["status"] = "not run"

    good.edit(empty)
    lax = policy("[cases]\nreason = 'x'\nleast_images = 1\nleast_shapes = 0\n")
    decision = good.judged(policy=lax)
    assert decision.exit_code == 1
    assert {"cases", "complete", "verdicts"} <= set(decision.stopped_by)


def test_one_image_many_times_is_one_image(good: Any) -> None:
    """Ten files of the same pixels, whatever their own digests are."""

    def same(document: dict[str, Any]) -> None:
        for look in document["models"]["tiny_np"]["data_set"]["looks"].values():
            look |= {"pixels_sha256": "0" * 64, "like": "0" * 64}

    good.edit(same)
    found = of(good.judged(), "cases")
    assert found.saw.startswith("tiny_np: 1 different image was measured, in 10 files")


@pytest.mark.parametrize("said", ["flat", "nothing", "no look"])
def test_flat_images_and_unknown_ones_are_not_counted(good: Any, said: str) -> None:
    def change(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        looks = about["data_set"]["looks"]
        for sha256 in list(looks)[:3]:
            looks[sha256] |= {"flat": True}
            if said == "no look":
                del looks[sha256]
        if said == "nothing":
            del about["data_set"]

    good.edit(change)
    left = 0 if said == "nothing" else 7
    assert of(good.judged(), "cases").saw.startswith(f"tiny_np: {left} different images were")


def test_made_pictures_are_among_the_cases(good: Any) -> None:
    """They are no shapes, and without them NaN on a black picture is not found out."""

    def without(document: dict[str, Any]) -> None:
        for part in (document["shape_rows"], document["summary"]["groups"]):
            part[:] = [
                one
                for one in part
                if not str(one.get("image")).startswith("made:") and one.get("cases") != "made"
            ]
        counts = document["summary"]["counts"]
        counts["pass"] = len(document["rows"]) + len(document["shape_rows"])

    shapes = of(good.judged(), "cases").saw
    good.edit(without)
    found = of(good.judged(), "cases")
    assert found.outcome is Outcome.FAIL
    assert found.details == ("tiny_np: made pictures were not run: black, grey, white, saturated",)
    assert "15 shapes" in shapes


def test_another_file_on_the_baseline_s_drawn_sizes(
    good: Any, tmp_path: Path, policy: Callable[[str], Policy]
) -> None:
    def set_seed(origin: str, file: str = "") -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            about = document["models"]["tiny_np"]
            about["seed"] = {"value": 5, "origin": origin}
            for entry in (about, *about["variants"].values()) if file else ():
                entry["file"] = entry["file"] | {"sha256": file}

        return change

    old = good.copy(tmp_path / "old")
    old.edit(set_seed("--seed"))
    good.edit(set_seed("--seed"))
    assert of(good.judged(old.report), "cases").outcome is Outcome.PASS  # the same file again
    old.edit(set_seed("--seed", "0" * 64))
    found = of(good.judged(old.report), "cases")
    assert found.outcome is Outcome.FAIL
    assert "sizes drawn with the baseline's seed, 5, for another file" in found.saw
    lax = policy("[cases]\nreason = 'x'\nfresh_seed = false\n")
    assert of(good.judged(old.report, policy=lax), "cases").outcome is Outcome.PASS
    good.edit(set_seed("the bundle"))
    assert of(good.judged(old.report), "cases").outcome is Outcome.PASS


def test_a_made_picture_without_an_answer_does_not_stop(good: Any) -> None:
    def not_judged(image: str) -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            figures = ("mae", "max_abs", "p99_abs", "rel_l2", "mae_torch32", "accuracy_ratio")
            rows = [row for row in document["shape_rows"] if row["image"] == image]
            for row in rows:
                row |= dict.fromkeys(figures) | {"status": "not run", "reason": "NaN there"}
            counts = document["summary"]["counts"]
            counts["pass"] -= len(rows)
            counts["not run"] += len(rows)
            found = from_rows(document)
            document["summary"]["groups"] = [encode(group) for group in found]

        return change

    good.edit(not_judged("made:grey"))
    assert good.judged().exit_code == 0
    good.edit(not_judged("shape:64x96"))
    assert good.judged().exit_code != 0


def from_rows(document: dict[str, Any]) -> list[Group]:
    parts = (("rows", "images"), ("shape_rows", "shapes"))
    return [
        group
        for part, cases in parts
        for group in summarise([decode(Row, row) for row in document[part]], cases)
    ]


def test_a_device_that_ran_before_and_does_not_now(good: Any, tmp_path: Path) -> None:
    """ "Not run" may be on a device that nobody has; not on one that the baseline had."""

    def with_cuda(status: str) -> Callable[[dict[str, Any]], None]:
        def add(document: dict[str, Any]) -> None:
            more = []
            for part in ("rows", "shape_rows"):
                added = [
                    row | {"provider": "cuda", "status": status, "reason": "no CUDA"}
                    for row in document[part]
                    if row["backend"] == "onnxruntime"
                ]
                for row in added if status != "pass" else ():
                    row |= dict.fromkeys(("mae", "max_abs", "p99_abs", "rel_l2"))
                    row |= dict.fromkeys(("mae_torch32", "accuracy_ratio")) | {"outcome": {}}
                document[part] += added
                more += added
            groups = document["summary"]["groups"]
            groups += [group | {"provider": "cuda"} for group in groups[1:2] + groups[3:4]]
            document["summary"]["counts"][status] += len(more)

        return add

    before = good.copy(tmp_path / "before")
    before.edit(with_cuda("pass"))
    good.edit(with_cuda("not run"))
    assert of(good.judged(), "complete").outcome is Outcome.PASS
    found = of(good.judged(before.report), "complete")
    assert found.outcome is Outcome.FAIL
    assert "cuda: not run: no CUDA" in found.saw


def test_a_larger_error_than_the_baseline_s(good: Any, tmp_path: Path) -> None:
    before = good.copy(tmp_path / "before")

    def smaller(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            if row["backend"] == "onnxruntime":
                row["mae"] /= 10.0

    before.edit(smaller)
    found = of(good.judged(before.report), "accuracy")
    small = of(good.judged(), "accuracy")
    assert small.outcome is Outcome.PASS
    document = json.loads(good.report.read_text())
    mean = max(row["mae"] for row in document["rows"])
    assert (found.outcome is Outcome.FAIL) is (mean > 2e-7)


def test_a_baseline_is_any_report_and_a_wrong_one_is_exit_2(good: Any, tmp_path: Path) -> None:
    assert good.judged(good.report).exit_code == 0
    from trufor_onnx.errors import ParityError

    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ParityError, match=r"x\.json"):
        good.judged(tmp_path / "x.json")


def test_the_old_file_in_turns_needs_no_baseline_of_this_machine(
    good: Any, write_bench: Make
) -> None:
    old = write_bench("old", seed=1, processor="another processor")
    given = {"sha256": good.sha256, "old": "f" * 64}
    same = good.judged(old, bench=write_bench("same", seed=2, **given))
    assert of(same, "latency").outcome is Outcome.PASS
    assert "in turns" in of(same, "latency").saw
    slow = good.judged(old, bench=write_bench("slow", seed=2, slower=1.3, **given))
    assert slow.stopped_by == ("latency",)


def test_a_timed_file_that_is_not_the_compared_one(good: Any, write_bench: Make) -> None:
    decision = good.judged(bench=write_bench("other", sha256="0" * 64))
    assert decision.stopped_by == ("digests",)


def test_more_memory_than_before(good: Any, write_bench: Make) -> None:
    old = write_bench("old", peak=400 << 20)
    new = write_bench("new", peak=500 << 20, sha256=good.sha256, old="f" * 64)
    assert good.judged(old, bench=new).stopped_by == ("memory",)
    assert of(good.judged(new, bench=new), "memory").outcome is Outcome.PASS


def test_a_measurement_that_was_left_out(good: Any, write_bench: Make) -> None:
    old = write_bench("old")
    document = json.loads(write_bench("new", sha256=good.sha256).read_text())
    for part in ("latency", "memory"):
        document[part] = [
            row for row in document[part] if row["contestant"]["backend"] != "onnxruntime"
        ]
    new = old.with_name("less.json")
    new.write_text(json.dumps(document))
    found = of(good.judged(old, bench=new), "latency")
    assert found.outcome is Outcome.COULD_NOT


def test_a_lock_that_is_none(good: Any) -> None:
    (good.models / "tiny_np.lock.json").write_text("{}")
    assert "digests" in good.judged().stopped_by
    (good.models / "tiny_np.lock.json").unlink()
    assert "digests" in good.judged().stopped_by


def test_pieces_alone_will_do(good: Any) -> None:
    from trufor_onnx.chunking.splitting import split

    split(good.models / "tiny_np.onnx")
    (good.models / "tiny_np.onnx").unlink()
    assert good.judged().exit_code == 0
    shutil.rmtree(good.models / "tiny_np.chunks")
    assert good.judged().stopped_by == ("digests",)


def test_a_file_name_that_leads_elsewhere(good: Any) -> None:
    def lead(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        for entry in (about, about["variants"]["portable"]):
            entry["file"]["name"] = "../../etc/passwd"

    good.edit(lead)
    found = of(good.judged(), "digests")
    assert (found.outcome, found.saw) == (
        Outcome.FAIL,
        "tiny_np: the report's file name is no plain file name",
    )


def test_stand_in_weights_need_a_policy(good: Any, policy: Callable[[str], Policy]) -> None:
    def stand_in(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        for weights in (about["weights"], about["variants"]["portable"]["file_weights"]):
            weights["kind"] = "stand-in"

    good.edit(stand_in)
    found = of(good.judged(), "weights")
    assert found.outcome is Outcome.FAIL and "made from a seed" in found.saw
    lax = policy('[weights]\nreason = "a test release"\nallow_stand_in = true\n')
    assert of(good.judged(policy=lax), "weights").outcome is Outcome.PASS


def as_locked(document: dict[str, Any]) -> None:
    about = document["models"]["tiny_np"]
    for entry in (about, about["variants"]["portable"]):
        entry |= {"proof": AS_LOCKED, "proof_reason": "nothing at hand", "proof_how": ""}
    groups = document["summary"]["groups"]
    for row in (*document["rows"], *document["shape_rows"], *groups):
        row["proof"] = AS_LOCKED if row["proof"] == PROVEN else row["proof"]


def test_a_lock_alone_needs_a_policy(good: Any, policy: Callable[[str], Policy]) -> None:
    good.edit(as_locked)
    found = of(good.judged(), "weights")
    assert found.outcome is Outcome.FAIL
    assert found.saw == "tiny_np: as its lock says: nothing at hand"
    lax = policy('[weights]\nreason = "our own locks"\ntrust_lock = true\n')
    found = of(good.judged(policy=lax), "weights")
    assert found.outcome is Outcome.PASS
    assert "as its lock says (nothing at hand)" in found.saw


def test_rows_of_another_proof_are_named(good: Any) -> None:
    def unproven(document: dict[str, Any]) -> None:
        for row in (*document["rows"], *document["shape_rows"], *document["summary"]["groups"]):
            row["proof"] = AS_LOCKED if row["proof"] == PROVEN else row["proof"]

    good.edit(unproven)
    found = of(good.judged(), "weights")
    assert (found.outcome, "rows that are as its lock says" in found.saw) == (Outcome.FAIL, True)


def test_tensors_that_look_untrained_need_a_policy(
    good: Any, policy: Callable[[str], Policy]
) -> None:
    def fresh(document: dict[str, Any]) -> None:
        listed = {"3.weight": "all 1", "3.bias": "all 0"}
        document["models"]["tiny_np"]["weights"]["look_untrained"] = listed

    good.edit(fresh)
    found = of(good.judged(), "weights")
    assert found.outcome is Outcome.FAIL
    assert "2 tensors look untrained (report): 3.weight (all 1), 3.bias (all 0)" in found.saw
    some = policy('[weights]\nreason = "identity"\ntrained_as_they_are = ["3.w*"]\n')
    assert "1 tensors look untrained" in of(good.judged(policy=some), "weights").saw
    for text in ('trained_as_they_are = ["3.*"]', "allow_untrained_looking = true"):
        lax = policy(f'[weights]\nreason = "an identity layer"\n{text}\n')
        assert of(good.judged(policy=lax), "weights").outcome is Outcome.PASS


def test_a_file_beside_the_model_is_held_to_what_was_measured(good: Any) -> None:
    data = good.models / "tiny_np.onnx.data"
    data.write_bytes(b"weights")
    entry = {"name": data.name, "size_bytes": 7, "sha256": sha256_file(data)}
    place = lock_path(good.models / "tiny_np.onnx")
    lock = json.loads(place.read_text())
    lock["file"]["external"] = [entry]
    place.write_text(json.dumps(lock))
    found = of(good.judged(), "digests")
    assert "beside it with its tensors are others in the lock" in found.saw

    def beside(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        for one in (about, about["variants"]["portable"]):
            one["file"]["external"] = [entry]

    good.edit(beside)
    assert of(good.judged(), "digests").outcome is Outcome.PASS
    data.write_bytes(b"others!")
    found = of(good.judged(), "digests")
    assert (found.outcome, "tiny_np.onnx.data is" in found.saw) == (Outcome.FAIL, True)
    data.unlink()
    assert "unreadable" in of(good.judged(), "digests").saw


def test_noise_that_could_hide_a_slowdown_is_no_pass(good: Any, write_bench: Make) -> None:
    noisy = {"noise": 1.0, "rounds": 12, "sha256": good.sha256, "old": "f" * 64}
    found = of(good.judged(write_bench("old"), bench=write_bench("new", **noisy)), "latency")
    assert found.outcome is Outcome.COULD_NOT
    assert "too noisy to exclude 30%" in found.saw


def test_two_runs_are_judged_where_the_policy_says_so(
    good: Any, write_bench: Make, policy: Callable[[str], Policy]
) -> None:
    lax = policy("[latency]\nreason = 'a machine of its own'\nacross_runs = 'judge'\n")
    old, new = write_bench("old", seed=1), write_bench("new", seed=2, sha256=good.sha256)
    assert of(good.judged(old, bench=new, policy=lax), "latency").outcome is Outcome.PASS
    assert of(good.judged(old, bench=new), "latency").outcome is Outcome.COULD_NOT


def test_another_machine_may_be_let_pass_unjudged(
    good: Any, write_bench: Make, policy: Callable[[str], Policy]
) -> None:
    lax = policy("[latency]\nreason = 'CI moves'\nother_environment = 'warn'\n")
    old = write_bench("old", processor="another processor")
    new = write_bench("new", sha256=good.sha256)
    found = of(good.judged(old, bench=new, policy=lax), "latency")
    assert found.outcome is Outcome.NOT_JUDGED and "another processor" in found.saw


def test_the_old_file_is_known_by_the_baseline_s_parity_report_too(
    good: Any, write_bench: Make
) -> None:
    given = {"sha256": good.sha256, "old": good.sha256}
    same = good.judged(good.report, bench=write_bench("same", seed=2, **given))
    assert of(same, "latency").outcome is Outcome.PASS
    slow = good.judged(good.report, bench=write_bench("slow", seed=2, slower=1.3, **given))
    assert slow.stopped_by == ("latency",)
    alone = good.judged(good.report, bench=write_bench("alone", sha256=good.sha256))
    assert of(alone, "latency").outcome is Outcome.NOT_JUDGED


def test_a_slowdown_is_caught_and_none_is_not_over_many_draws(
    write_bench: Make,
) -> None:
    """40 releases of each kind on a machine that swings by 8 % from round to round."""
    from trufor_onnx.parity.gate.costs import changes_across, costs_of

    def costs(**given: Any) -> Any:
        path = write_bench("x", **given)
        return costs_of(json.loads(path.read_text()), "x")

    alarms = caught = 0
    for seed in range(40):
        old = costs(seed=seed, drift=0.5 + seed / 40)
        for slower in (1.0, 1.3):
            new = costs(seed=100 + seed, slower=slower)
            (change,) = changes_across(new, old, 0.99).values()
            if slower == 1.0:
                alarms += change.slower(0.1) or change.may_hide(0.3)
            else:
                caught += change.slower(0.1)
    assert (alarms, caught) == (0, 40)


@pytest.mark.parametrize(
    ("axes", "shapes", "passes"),
    [
        ([1, 3, 48, 48], 1, True),
        (["batch", 3, 48, 48], 1, False),
        (["batch", 3, 48, 48], 2, True),
        (["batch", 3, "height", "width"], 2, False),
        (None, 2, False),
    ],
)
def test_a_network_of_a_fixed_size_is_asked_for_what_it_takes(
    good: Any,
    policy: Callable[[str], Policy],
    axes: Any,
    shapes: int,
    passes: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no --size option that would give it more: it could never pass."""
    monkeypatch.setattr("trufor_onnx.parity.inputs.cases.FIXED_BATCHES", (1, 2))
    evidence = gather(good.report, models_dir=good.models)
    (subject,) = evidence.subjects
    assert evidence.report is not None
    others = sorted({row.image for row in evidence.report.shape_rows})
    made = [name for name in others if is_made(name)]
    names = [*made, *[name for name in others if name not in made][:shapes]]
    images = {row.image for row in evidence.report.rows}
    rows = tuple(row for row in subject.rows if row.image in {*names, *images})
    inputs = [{"name": "image", "axes": axes, "description": ""}]
    lock = {**(subject.lock or {}), "inputs": inputs}
    changed = replace(evidence, subjects=(replace(subject, rows=rows, lock=lock),))
    monkeypatch.setattr("trufor_onnx.parity.gate.rules.whole.find", refuse)  # the lock alone speaks
    found = cases_rule(changed, policy(LAX))
    assert (found.outcome is Outcome.PASS) is passes
    if not passes:
        assert found.look == "run without --no-shapes"


LAX = "[cases]\nreason = 'x'\nleast_images = 1\nleast_shapes = 5\n"


def refuse(name: str) -> None:
    raise ExportError(name)


def with_backend(**changes: str) -> Callable[[dict[str, Any]], None]:
    """The file's rows once more, of another backend."""

    def add(document: dict[str, Any]) -> None:
        counts = document["summary"]["counts"]
        for part in ("rows", "shape_rows"):
            ours = [row for row in document[part] if row["backend"] == "onnxruntime"]
            document[part] += [row | {"backend": "mybackend"} | changes for row in ours]
            counts["pass"] += len(ours)
        groups = []
        for cases in (("images",), ("shapes", "made")):  # as the rows stand
            own = [group for group in document["summary"]["groups"] if group["cases"] in cases]
            ours = [group for group in own if group["backend"] == "onnxruntime"]
            groups += [*own, *(group | {"backend": "mybackend"} | changes for group in ours)]
        document["summary"]["groups"] = groups

    return add


def test_rows_of_a_backend_that_call_themselves_the_source(good: Any) -> None:
    good.edit(with_backend(variant="source", proof="source"))
    found = of(good.judged(), "report")
    assert found.outcome is Outcome.FAIL
    assert "rows of mybackend are of source, no file of the report" in found.saw


def test_a_backend_that_the_baseline_has_and_the_report_has_not(good: Any, tmp_path: Path) -> None:
    before = good.copy(tmp_path / "before")
    before.edit(with_backend())
    assert before.judged().exit_code == 0
    found = of(good.judged(before.report), "complete")
    assert found.outcome is Outcome.FAIL
    assert "mybackend ran it in the baseline" in found.saw


def of_another_file(good: Any, folder: Path) -> Any:
    """The release before: its file has another digest."""
    before = good.copy(folder)

    def other(document: dict[str, Any]) -> None:
        about = document["models"]["tiny_np"]
        for entry in (about, about["variants"]["portable"]):
            entry["file"]["sha256"] = "f" * 64
        if about.get("seed"):
            about["seed"]["value"] += 1  # it had its own sizes

    before.edit(other)
    return before


def test_the_old_file_s_peak_in_the_same_run(good: Any, write_bench: Make, tmp_path: Path) -> None:
    before = of_another_file(good, tmp_path / "before").report
    given = {"sha256": good.sha256, "old": "f" * 64, "old_peak": 149 << 20}
    grown = good.judged(before, bench=write_bench("grown", peak=608 << 20, **given))
    assert grown.stopped_by == ("memory",)
    assert "the old file's, in the same run, is 156,237,824" in of(grown, "memory").saw
    equal = good.judged(before, bench=write_bench("equal", peak=150 << 20, **given))
    assert of(equal, "memory").outcome is Outcome.PASS


@pytest.mark.parametrize("with_baseline", [True, False])
def test_a_candidate_that_no_baseline_has_is_compared_too(
    good: Any, write_bench: Make, with_baseline: bool
) -> None:
    given = {"sha256": good.sha256, "old": "a" * 64, "old_peak": 149 << 20}
    baselines = [good.report] if with_baseline else []
    grown = good.judged(*baselines, bench=write_bench("grown", peak=608 << 20, **given))
    assert grown.stopped_by == ("memory",)
    equal = good.judged(*baselines, bench=write_bench("equal", peak=150 << 20, **given))
    wanted = Outcome.NOT_JUDGED if with_baseline else Outcome.PASS
    assert of(equal, "memory").outcome is wanted


@pytest.mark.parametrize("what", ["no bench", "elsewhere", "another size"])
@pytest.mark.parametrize("refuse", [False, True])
def test_costs_without_anything_to_compare_with_are_not_judged(
    good: Any, write_bench: Make, policy: Callable[[str], Policy], what: str, refuse: bool
) -> None:
    """Budgets hold, and that is no comparison with the release before."""
    new = write_bench("new", sha256=good.sha256, processor="this one")
    old = {
        "no bench": good.report,
        "elsewhere": write_bench("old", sha256=good.sha256, processor="another"),
        "another size": write_bench("larger", sha256=good.sha256, processor="this one", size=512),
    }[what]
    text = "".join(
        f'[{rule}]\nreason = "x"\nwhen_absent = "{"refuse" if refuse else "allow"}"\n'
        for rule in ("memory", "latency")
    )
    decision = good.judged(old, bench=new, policy=policy(text + 'other_environment = "warn"\n'))
    wanted = Outcome.COULD_NOT if refuse else Outcome.NOT_JUDGED
    assert of(decision, "memory").outcome is wanted
    unlike = what == "another size"  # a measurement that is missing now stops by itself
    assert of(decision, "latency").outcome is (Outcome.COULD_NOT if unlike else wanted)


def test_a_size_that_no_baseline_has_is_not_judged(good: Any, write_bench: Make) -> None:
    bench = write_bench("bench", sha256=good.sha256)
    assert of(good.judged(good.report), "size").outcome is Outcome.PASS
    assert of(good.judged(), "size").outcome is Outcome.PASS  # a first release: the budget alone
    found = of(good.judged(bench, bench=bench), "size")
    assert found.outcome is Outcome.NOT_JUDGED


def test_errors_on_images_that_no_baseline_has_are_not_judged(good: Any, tmp_path: Path) -> None:
    before = good.copy(tmp_path / "before")

    def others(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            row["image_sha256"] = "0" * 64

    before.edit(others)
    assert of(good.judged(before.report), "accuracy").outcome is Outcome.NOT_JUDGED
    assert of(good.judged(good.report), "accuracy").outcome is Outcome.PASS


def test_a_baseline_to_whose_outputs_nothing_can_be_held(
    good: Any, tmp_path: Path, policy: Callable[[str], Policy]
) -> None:
    """Of an earlier version of this program, or on other pictures: never a pass."""
    assert of(good.judged(), "references").outcome is Outcome.NOT_JUDGED
    assert of(good.judged(good.report), "references").outcome is Outcome.PASS
    before = good.copy(tmp_path / "before")

    def forget(document: dict[str, Any]) -> None:
        document["models"]["tiny_np"].pop("reference_network")
        for row in document["rows"] + document["shape_rows"]:
            row.pop("sketch", None)

    def others(document: dict[str, Any]) -> None:
        for row in document["rows"] + document["shape_rows"]:
            if "sketch" in row:
                row["sketch"]["pixels"] = "0" * 64

    for change, why in ((others, "no picture in common"), (forget, "does not say what")):
        before.edit(change)
        found = of(good.judged(before.report), "references")
        assert found.outcome is Outcome.COULD_NOT
        assert why in found.saw
        lax = policy("[references]\nreason = 'an old baseline'\nwhen_absent = 'allow'\n")
        found = of(good.judged(before.report, policy=lax), "references")
        assert found.outcome is Outcome.NOT_JUDGED


def test_a_folder_that_is_no_release(good: Any, tmp_path: Path) -> None:
    from trufor_onnx.errors import ParityError

    with pytest.raises(ParityError, match=r"no release, it has no parity\.json"):
        good.judged(tmp_path)
