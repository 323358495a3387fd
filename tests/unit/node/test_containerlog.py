"""What is kept of a container's output, and what of it is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from emulator.node.containerlog import ContainerLog, Line, nano_time, selected

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def lines(log: ContainerLog) -> list[bytes]:
    return [line.text for line in log.after(0)[0]]


def test_old_lines_make_room() -> None:
    log = ContainerLog(limit_bytes=12)
    for number in range(5):
        log.add(AT, b"abc%d\n" % number)
    assert lines(log) == [b"abc3\n", b"abc4\n"]
    assert log.after(3) == (log.after(0)[0], 5)
    assert [line.text for line in log.after(4)[0]] == [b"abc4\n"]
    assert log.after(5) == ([], 5)


def test_a_line_longer_than_all_that_is_kept_is_cut() -> None:
    log = ContainerLog(limit_bytes=4)
    log.add(AT, b"abcdefgh\n")
    assert lines(log) == [b"abcd"]


def test_listeners_hear_of_lines_and_of_the_end() -> None:
    log, heard = ContainerLog(), []
    log.listeners.append(lambda: heard.append(log.ended))
    log.add(AT, b"x\n")
    log.end()
    assert heard == [False, True]


def test_what_options_ask_for() -> None:
    found = [Line(AT + timedelta(seconds=n), "stderr" if n % 2 else "stdout", b"%d\n" % n) for n in range(6)]

    def texts(**options: object) -> list[bytes]:
        asked = {"since": None, "tail": None, "stream": "All", **options}
        return [line.text for line in selected(found, **asked)]  # type: ignore[arg-type]  # as a request has them

    assert texts(tail=2) == [b"4\n", b"5\n"]
    assert texts(tail=0) == []
    assert texts(since=AT + timedelta(seconds=4)) == [b"4\n", b"5\n"]
    assert texts(stream="Stderr", tail=2) == [b"3\n", b"5\n"]


def test_times_have_nine_digits() -> None:
    assert nano_time(AT) == "2026-01-02T03:04:05.678901000Z"
    assert Line(AT, "stdout", b"x\n").shown(timestamps=True) == b"2026-01-02T03:04:05.678901000Z x\n"
