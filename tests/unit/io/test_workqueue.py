"""The queue of keys: repeats merge, one worker a key, failures back off, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from emulator.io.workqueue import FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, WorkQueue


@pytest.fixture
def queue() -> WorkQueue[str]:
    return WorkQueue()


async def take(queue: WorkQueue[str], seconds: float = 1.0) -> str:
    async with asyncio.timeout(seconds):
        return await queue.get()


async def is_empty(queue: WorkQueue[str], seconds: float = 0.02) -> bool:
    try:
        await take(queue, seconds)
    except TimeoutError:
        return True
    return False


async def test_keys_come_in_order_and_repeats_merge(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
    assert len(queue) == 3
    assert [await take(queue) for _ in range(3)] == ["a", "b", "c"]


async def test_a_key_never_runs_twice_at_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await take(queue) == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    assert await is_empty(queue)
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert queue.is_idle


async def test_done_without_a_new_add_is_the_end(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await take(queue)
    running = queue.is_idle
    queue.done("a")
    assert (running, queue.is_idle) == (False, True)
    assert await is_empty(queue)


async def test_a_waiting_worker_wakes(queue: WorkQueue[str]) -> None:
    waiting = asyncio.ensure_future(take(queue))
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_two_workers_share_the_keys(queue: WorkQueue[str]) -> None:
    waiting = [asyncio.ensure_future(take(queue)) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.gather(*waiting)) == ["a", "b"]


async def test_a_cancelled_worker_takes_no_key_with_it(queue: WorkQueue[str]) -> None:
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await take(queue) == "a"


async def test_add_after_waits_and_the_sooner_time_wins(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 30.0)
    queue.add_after("a", 0.01)
    queue.add_after("a", 30.0)
    assert not queue.is_idle
    assert len(queue) == 0
    assert await take(queue) == "a"
    queue.done("a")
    assert queue.is_idle


async def test_failures_back_off_and_success_forgets(queue: WorkQueue[str]) -> None:
    seconds = [queue.retry("a") for _ in range(40)]
    assert seconds[:3] == [FIRST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2, FIRST_BACKOFF_SECONDS * 4]
    assert seconds == sorted(seconds)
    assert seconds[-1] == MAX_BACKOFF_SECONDS
    assert queue.retry("b") == FIRST_BACKOFF_SECONDS, "each key has its own"
    queue.forget("a")
    assert queue.retry("a") == FIRST_BACKOFF_SECONDS
    queue.close()


async def test_a_retried_key_comes_back(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.retry(await take(queue))
    queue.done("a")
    assert await take(queue) == "a"


async def test_close_forgets_what_waits(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 0.01)
    queue.close()
    assert queue.is_idle
    assert await is_empty(queue, 0.03)
