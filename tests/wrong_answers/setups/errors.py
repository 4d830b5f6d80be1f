"""Foreign code, options and messages."""

from __future__ import annotations

from tests.wrong_answers.workshop import Workshop, set_up


@set_up("9", "two --candidate options for one network, the bad one first", "both judged, or exit 2")
def two_candidates(w: Workshop) -> str:
    w.network("tiny", "Tiny")
    images = w.images()
    for seed in ("good", "bad"):
        assert w.run("export", "tiny", "--stand-in", seed, "--out", seed).code == 0
        (w.folder / seed / "tiny.lock.json").unlink()
    options = ("--models", "tiny", "--stand-in", "good", "--images", images)
    both = ("--candidate", "tiny=bad/tiny.onnx", "--candidate", "tiny=good/tiny.onnx")
    ran = w.run("parity", "run", *options, *both)
    assert ran.code in (1, 2), ran.text
    return f"exit {ran.code}"
