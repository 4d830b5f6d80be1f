"""Values beyond the limit go to disk and come back; the folder goes away."""

from __future__ import annotations

import numpy as np
import pytest

from trufor_onnx.parity.locate.results import Store


@pytest.mark.parametrize("most", [0, 100, 1 << 20])
def test_what_is_put_in_comes_back(most: int) -> None:
    arrays = {index: np.random.default_rng(index).normal(size=(3, 4)) for index in range(4)}
    with Store(most) as store:
        for key, array in arrays.items():
            store.put(key, array)
        for key, array in arrays.items():
            np.testing.assert_array_equal(store.get(key), array)
        folder = store.folder
        assert (folder is None) == (most == 1 << 20)
    assert folder is None or not folder.exists()


def test_nothing_under_a_number_is_an_error() -> None:
    with Store() as store, pytest.raises(KeyError):
        store.get(3)
