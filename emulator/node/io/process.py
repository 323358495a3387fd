"""A container that is a process of this host: its start, its output, its end.

Fulfils Backend: to stop listening is SIGTERM, a connection still open is the process still running, to abort is to
kill everything it started. What it writes goes to the container's log, bounded in size and in speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from emulator.api.errors import EmulatorError
from emulator.io import pod_launcher
from emulator.io.podstreams import Streams, Write
from emulator.io.tasks import TaskOwner
from emulator.node.io.backend import Backend, BindFailure, Listen
from emulator.node.io.command import follow_size, resize, show_terminal, type_into
from emulator.node.loglines import LineSplitter

LAUNCHER_FOLDER = Path(pod_launcher.__file__).parent
START_SECONDS = 10.0
KILL_SECONDS = 2.0  # from the order to kill all to the launcher's own end
LAST_WORDS_SECONDS = 1.0
CHUNK_BYTES = 32 * 1024
MAX_LINES_PER_SECOND = 50_000  # a program that writes without end takes no more of this process than that
MAX_WAITING_CHUNKS = 64  # of one attached client
ATTACH_PATIENCE_SECONDS = 10.0  # a client that takes nothing for so long is let go
MAX_EARLY_BYTES = 64 * 1024  # output before the first client attached, for containers with stdin

LogWrite = Callable[[bytes, str], None]


class StartFailure(EmulatorError):
    """The command could not be started; the text is the runtime's."""


class ProcessBackend:
    """One run of one container."""

    def __init__(self, name: str, *, log: LogWrite, ended: Callable[[], None]) -> None:
        self.exit_code: int | None = None
        self.pid = 0
        self.env: dict[str, str] = {}
        self.folder = "/"
        self.stopping = False
        self.sandboxed = False
        self.ports: Backend | None = None
        self._log = log
        self._told_end = ended
        self._tasks = TaskOwner(f"process of {name}")
        self._process: asyncio.subprocess.Process | None = None
        self._gone = asyncio.Event()
        self._kill_timer: asyncio.TimerHandle | None = None
        self._terminal: int | None = None
        self._readers: set[_Attached] = set()
        self._early: list[tuple[bytes, str]] | None = None
        self._stdin_once = False
        self._told_to_end = False
        self._outputs: list[asyncio.Task[Any]] = []

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self, spec: dict[str, Any], *, stdin: bool, stdin_once: bool) -> None:
        """Start `spec` (see pod_launcher.py). Raises StartFailure."""
        self.env, self.folder = spec["env"], spec["cwd"]
        self.sandboxed = spec["sandbox"] is not None
        self._stdin_once, self._early = stdin_once, [] if stdin else None
        try:
            reports = await self._launch(spec, stdin=stdin)
        except OSError as error:
            raise StartFailure(f"{sys.executable}: {error.strerror}") from error
        except BaseException:
            await self._give_up()
            raise
        for word, said in reports:
            if word == "pid":
                self.pid = int(said)
            else:
                await self._give_up()
                raise StartFailure(said)
        if not self.pid:
            await self._give_up()
            raise StartFailure("the process ended before it was started")
        self._tasks.start(self._watch(), name="process end")

    async def _launch(self, spec: dict[str, Any], *, stdin: bool) -> list[tuple[str, str]]:
        ends: list[int] = []
        theirs = None
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        if spec["tty"]:
            self._terminal, theirs = os.openpty()
            ends.append(theirs)
            os.set_blocking(self._terminal, False)
            resize(self._terminal, 80, 24)
        reading, writing = os.pipe()
        ends.append(writing)
        try:
            with tempfile.TemporaryFile() as file:
                marshal.dump(spec, file)  # its reader is the same Python
                file.flush()
                file.seek(0)
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-S", "-E", "-c", pod_launcher.START),
                    *(str(LAUNCHER_FOLDER), str(file.fileno()), str(writing)),
                    stdin=theirs if theirs is not None else pipe if stdin else null,
                    stdout=theirs if theirs is not None else pipe,
                    stderr=theirs if theirs is not None else pipe,
                    pass_fds=(file.fileno(), writing),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            for end in ends:
                os.close(end)
        self._read_output()
        return await _reports(reading)

    def _read_output(self) -> None:
        assert self._process is not None
        if self._terminal is not None:
            splitter = LineSplitter()

            async def wrote(chunk: bytes) -> None:
                await self._wrote(chunk, "stdout", splitter)

            self._output(self._from_terminal(self._terminal, wrote, splitter), "terminal")
        else:
            for reader, stream in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr")):
                assert reader is not None
                self._output(self._from_pipe(reader, stream), stream)

    def _output(self, work: Coroutine[Any, Any, None], stream: str) -> None:
        if (task := self._tasks.start(work, name=f"process {stream}")) is not None:
            self._outputs.append(task)

    async def _give_up(self) -> None:
        if self._process is not None:
            await self._kill()
        await self._release()

    async def _watch(self) -> None:
        assert self._process is not None
        code = await self._process.wait()
        if self._outputs:
            await asyncio.wait(self._outputs, timeout=LAST_WORDS_SECONDS)
        self.exit_code = code if code >= 0 else 128 - code
        self._gone.set()
        for reader in list(self._readers):
            reader.end()
        if self.ports is not None:
            self.ports.stop_listening()
        self._told_end()

    def terminate(self, grace_seconds: float) -> None:
        """SIGTERM now, the end of everything when the grace is over."""
        self.stop_listening()
        if self._kill_timer is None and self.exit_code is None:
            loop = asyncio.get_running_loop()
            self._kill_timer = loop.call_later(max(grace_seconds, 0.0), self._signal, pod_launcher.KILL_ALL)

    async def _kill(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(pod_launcher.KILL_ALL)
        try:
            async with asyncio.timeout(KILL_SECONDS):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None and self._process.returncode is None:
                self._process.send_signal(number)

    async def _release(self) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()
            self._kill_timer = None
        await self._tasks.close()
        for reader in list(self._readers):
            reader.end()
        for stream in (self._process.stdout, self._process.stderr) if self._process is not None else ():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    while stream is not None and await stream.read(CHUNK_BYTES):
                        pass  # a pipe closes when it is read to its end
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    # -- output ----------------------------------------------------------------------------------------------------

    async def _from_pipe(self, reader: asyncio.StreamReader, stream: str) -> None:
        splitter = LineSplitter()
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._wrote(chunk, stream, splitter)
        finally:
            for line in splitter.end():
                self._log(line, stream)

    async def _from_terminal(self, terminal: int, wrote: Write, splitter: LineSplitter) -> None:
        try:
            await show_terminal(terminal, wrote)
        finally:
            for line in splitter.end():
                self._log(line, "stdout")

    async def _wrote(self, chunk: bytes, stream: str, splitter: LineSplitter) -> None:
        lines = splitter.feed(chunk)
        for line in lines:
            self._log(line, stream)
        if self._early is not None and sum(len(text) for text, _ in self._early) < MAX_EARLY_BYTES:
            self._early.append((chunk, stream))
        for reader in list(self._readers):
            await reader.take(chunk, stream)
        if len(lines) > 1:
            await asyncio.sleep(len(lines) / MAX_LINES_PER_SECOND)

    # -- attach ----------------------------------------------------------------------------------------------------

    async def attach(self, streams: Streams) -> int:
        """Carry a client's streams until the process ends or the client leaves; the exit code."""
        attached = _Attached()
        self._readers.add(attached)
        for chunk, stream in self._early or ():
            await attached.take(chunk, stream)
        self._early = None
        tasks = TaskOwner("attach")
        try:
            if streams.stdin is not None:
                tasks.start(self._feed(streams.stdin), name="attach stdin")
            if streams.resizes is not None and self._terminal is not None:
                tasks.start(follow_size(streams.resizes, self._terminal), name="attach size")
            if self.exit_code is not None:
                attached.end()
            async for chunk, stream in attached.chunks():
                write = streams.stderr if stream == "stderr" and not streams.tty else streams.stdout
                if write is not None:
                    await write(chunk)
        finally:
            self._readers.discard(attached)
            await tasks.close()
        return self.exit_code or 0

    async def _feed(self, chunks: AsyncIterator[bytes]) -> None:
        if self._terminal is not None:
            await type_into(chunks, self._terminal)
            return
        writer = self._process.stdin if self._process is not None else None
        if writer is None:
            async for _ in chunks:
                pass
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            async for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
        if self._stdin_once:
            writer.close()

    # -- Backend ---------------------------------------------------------------------------------------------------

    async def bind(self, listens: list[Listen]) -> list[BindFailure]:
        """Lead ports of the node here; the container's own are the process' business."""
        return await self.ports.bind(listens) if self.ports is not None else []

    def stop_listening(self) -> None:
        self.stopping = True
        if not self._told_to_end:
            self._told_to_end = True
            self._signal(signal.SIGTERM)

    @property
    def connections(self) -> int:
        return 0 if self._gone.is_set() else 1

    async def drained(self, timeout_seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._gone.wait()
        return self._gone.is_set()

    async def abort(self) -> None:
        self.stopping = True
        if self.ports is not None:
            await self.ports.abort()
        await self._kill()
        if self.exit_code is None and self._process is not None and self._process.returncode is not None:
            code = self._process.returncode
            self.exit_code = code if code >= 0 else 128 - code
        self._gone.set()
        await self._release()


class _Attached:
    """What one attached client has yet to get."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue(MAX_WAITING_CHUNKS)
        self._ended = asyncio.Event()

    async def take(self, chunk: bytes, stream: str) -> None:
        """Hand a chunk over; a client that does not take it in time gets no more."""
        if self._ended.is_set():
            return
        try:
            async with asyncio.timeout(ATTACH_PATIENCE_SECONDS):
                await self._queue.put((chunk, stream))
        except TimeoutError:
            self.end()

    def end(self) -> None:
        self._ended.set()

    async def chunks(self) -> AsyncIterator[tuple[bytes, str]]:
        while True:
            if not self._queue.empty():
                yield self._queue.get_nowait()
            elif self._ended.is_set():
                return
            else:
                async with asyncio.TaskGroup() as group:
                    getting = group.create_task(self._queue.get(), name="attach chunk")
                    ending = group.create_task(self._ended.wait(), name="attach end")
                    await asyncio.wait({getting, ending}, return_when=asyncio.FIRST_COMPLETED)
                    ending.cancel()
                    if not getting.done():
                        getting.cancel()
                if not getting.cancelled():
                    yield getting.result()


async def _reports(handle: int) -> list[tuple[str, str]]:
    """What the launcher says until the command runs or has failed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    file = os.fdopen(handle, "rb")
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    try:
        async with asyncio.timeout(START_SECONDS):
            text = await reader.read()
    except TimeoutError as error:
        raise StartFailure(f"the process was not started after {START_SECONDS:g} s") from error
    finally:
        transport.close()
    lines = (line.decode(errors="replace").partition(" ") for line in text.splitlines())
    return [(word, said) for word, _, said in lines]
