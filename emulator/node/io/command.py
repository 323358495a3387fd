"""A command of this host in a pod's surroundings, its ends joined to a client's streams.

With a terminal the command gets a pseudo-terminal and everything it writes is one stream. However it ends, when the
caller is cancelled too, the command and what it started in its session are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from emulator.io.podstreams import Ended, Streams, Write

CHUNK_BYTES = 32 * 1024
LAST_WORDS_SECONDS = 1.0  # for output of processes that outlive the command
DEFAULT_SIZE = (80, 24)


async def run_command(spec: Mapping[str, Any], streams: Streams) -> Ended:
    """Start `python -m emulator.io.launch` with this spec and be its client until it ends."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "emulator.io.launch", str(reading)]
    try:
        runner = _with_terminal if streams.tty else _with_pipes
        task = runner(command, reading, streams)
        # A pipe takes 64 KiB at once; what a pod has in variables may be more, so writing is the loop's work.
        return await _beside(task, _feed_spec(writing, json.dumps(spec).encode()))
    finally:
        os.close(reading)


async def _beside(work: Any, other: Any) -> Ended:
    async with asyncio.TaskGroup() as group:
        helper = group.create_task(other, name="exec helper")
        ended: Ended = await work
        helper.cancel()
    return ended


async def _feed_spec(handle: int, text: bytes) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(handle, "wb"))
    transport.write(text)
    transport.close()


async def _with_pipes(command: Sequence[str], handle: int, streams: Streams) -> Ended:
    def pipe(wanted: object) -> int:
        return subprocess.DEVNULL if wanted is None else subprocess.PIPE

    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe(streams.stdin),
        stdout=pipe(streams.stdout),
        stderr=pipe(streams.stderr),
        pass_fds=(handle,),
        start_new_session=True,
    )
    try:
        async with asyncio.TaskGroup() as group:
            if streams.stdin is not None and process.stdin is not None:
                feeding = group.create_task(_feed(streams.stdin, process.stdin), name="exec stdin")
            else:
                feeding = None
            outs = [
                group.create_task(_drain(reader, write), name="exec output")
                for reader, write in ((process.stdout, streams.stdout), (process.stderr, streams.stderr))
                if reader is not None and write is not None
            ]
            code = await process.wait()
            if outs:
                await asyncio.wait(outs, timeout=LAST_WORDS_SECONDS)
            for task in (*outs, *((feeding,) if feeding else ())):
                task.cancel()
    finally:
        _kill(process.pid)
        await process.wait()
    return Ended(_exit_code(code))


async def _with_terminal(command: Sequence[str], handle: int, streams: Streams) -> Ended:
    ours, theirs = os.openpty()
    resize(ours, *DEFAULT_SIZE)
    os.set_blocking(ours, False)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=(handle,), start_new_session=True
        )
    finally:
        os.close(theirs)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = []
            if streams.stdin is not None:
                tasks.append(group.create_task(type_into(streams.stdin, ours), name="exec typing"))
            if streams.resizes is not None:
                tasks.append(group.create_task(follow_size(streams.resizes, ours), name="exec size"))
            showing = group.create_task(show_terminal(ours, streams.stdout), name="exec screen")
            code = await process.wait()
            await asyncio.wait([showing], timeout=LAST_WORDS_SECONDS)
            for task in (showing, *tasks):
                task.cancel()
    finally:
        _kill(process.pid)
        await process.wait()
        os.close(ours)
    return Ended(_exit_code(code))


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _kill(session: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)


async def _feed(chunks: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the command reads no more
        async for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
    writer.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await writer.wait_closed()


async def _drain(reader: asyncio.StreamReader, write: Write) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        await write(chunk)


async def type_into(chunks: AsyncIterator[bytes], terminal: int) -> None:
    async for chunk in chunks:
        rest = chunk
        while rest:
            try:
                rest = rest[os.write(terminal, rest) :]
            except BlockingIOError:
                await _writable(terminal)
            except OSError:
                return


async def show_terminal(terminal: int, write: Write | None) -> None:
    while True:
        try:
            chunk = os.read(terminal, CHUNK_BYTES)
        except BlockingIOError:
            await _readable(terminal)
            continue
        except OSError:  # the last process of the terminal is gone
            return
        if not chunk:
            return
        if write is not None:
            await write(chunk)


async def follow_size(sizes: AsyncIterator[tuple[int, int]], terminal: int) -> None:
    async for columns, rows in sizes:
        resize(terminal, columns, rows)


def resize(terminal: int, columns: int, rows: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(handle)


async def _writable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_writer(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_writer(handle)
