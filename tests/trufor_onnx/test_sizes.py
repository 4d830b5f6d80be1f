from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trufor_onnx.errors import ChunkingError
from trufor_onnx.files import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24MiB", 24 << 20),
        ("45 MiB", 45 << 20),
        ("1", 1),
        ("4096B", 4096),
        ("1.5GiB", 3 << 29),
        ("45MB", 45_000_000),
        ("2kib", 2048),
        ("0.5KiB", 512),
        ("1TiB", 1 << 40),
        (" 7 ", 7),
    ],
)
def test_right_sizes(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "0", "0MiB", "-1", "1e6", "24 MiB MiB", "24Mi", "1.5", "0.3KiB", "٣", "9" * 16],
)
def test_wrong_sizes(text: str):
    with pytest.raises(ChunkingError) as caught:
        parse_size(text)
    assert "24MiB" in caught.value.hint


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_typed_error(text: str):
    with suppress(ChunkingError):
        assert parse_size(text) > 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (24 << 20, "24.0 MiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str):
    assert format_size(size) == text
