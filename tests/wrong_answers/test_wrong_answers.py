"""Each set-up in which a wrong file passed, or data was lost, ends as it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wrong_answers.setups import load
from tests.wrong_answers.workshop import Workshop


@pytest.mark.slow
@pytest.mark.parametrize("number", load())
def test_it_ends_as_wanted(number: str, tmp_path: Path) -> None:
    assert load()[number].act(Workshop(tmp_path))
