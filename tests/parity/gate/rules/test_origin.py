"""Whose weights, which bytes: what is not proven needs a policy that says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from tests.parity.gate.conftest import of
from trufor_onnx.export.lock import lock_path
from trufor_onnx.files import sha256_file
from trufor_onnx.parity.gate.policy import Policy
from trufor_onnx.parity.results.findings import Outcome
from trufor_onnx.parity.results.rows import AS_LOCKED, PROVEN

Make = Callable[..., Any]


def test_a_timed_file_that_is_not_the_compared_one(good: Any, write_bench: Make) -> None:
    decision = good.judged(bench=write_bench("other", sha256="0" * 64))
    assert decision.stopped_by == ("digests",)


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
