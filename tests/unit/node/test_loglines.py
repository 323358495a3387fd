"""Output cut into lines, however it arrives."""

from __future__ import annotations

import pytest

from emulator.node.loglines import MAX_PARTIAL_BYTES, LineSplitter

TEXT = b"one\ntwo\r\n\nthree\rfour\nrest"
LINES = [b"one\n", b"two\r\n", b"\n", b"three\rfour\n", b"rest"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(TEXT)])
def test_chunks_of_any_size(size: int) -> None:
    splitter = LineSplitter()
    found = [line for at in range(0, len(TEXT), size) for line in splitter.feed(TEXT[at : at + size])]
    assert found + splitter.end() == LINES
    assert splitter.end() == []


def test_a_line_without_end_comes_in_parts() -> None:
    splitter = LineSplitter()
    found = splitter.feed(b"x" * (2 * MAX_PARTIAL_BYTES + 5))
    assert [len(line) for line in found] == [MAX_PARTIAL_BYTES, MAX_PARTIAL_BYTES]
    assert splitter.end() == [b"x" * 5]
