"""Parquet read in a process of its own.

What a Parquet file says of itself need not be true, and one page of it, which a few kilobytes can unpack to gigabytes, can be had only
as a whole. Meanwhile arro3 lets no other thread run, and where memory ends, or bytes are wrong in some ways, it ends the process. So
this is done in a process that may take so much and no more, and that can be ended at any time. (Only Linux has such a bound on memory;
elsewhere just the rows that are made are counted.) What came in a request has narrow bounds; a file of the `datasets` folder may be
of any size.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flow_service_emulator.datasets.bounds import (
    MAX_FILE_MEMORY,
    MAX_PROCESS_MEMORY,
    MAX_PROCESS_SECONDS,
    Made,
    too_much,
)
from flow_service_emulator.datasets.panics import FileFault
from flow_service_emulator.datasets.parquet_rows import Mark, PrefixDigest, open_parquet, parquet_batches, rows_as_text
from flow_service_emulator.datasets.record_rows import GoOn
from flow_service_emulator.datasets.record_shape import MAX_FIELDS
from flow_service_emulator.datasets.segments import Segments, scratch, write_segments

if TYPE_CHECKING:
    from arro3.core import RecordBatch

_BATCH_ROWS: Final = 64
"""How many rows are made at a time: a text of a megabyte that all rows have in common is stored, and packed, once."""
_START: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from flow_service_emulator.datasets.parquet_process import main; main()"
_LOOK_SECONDS: Final = 0.1
_WHOLE: Final = 5
"""The exit status that says that all rows have been written: 0 is also that of a process which somebody has ended midway."""
_REFUSED: Final = 3
"""The one with which the process tells what is wrong with the file."""
_NO_MEMORY: Final = 4
_NO_MORE: Final = b"memory allocation of"
"""What Rust says before it aborts where memory ends."""
_CRASHES: Final = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
"""Signals that come of what a process does itself, and so of the file. Any other one is somebody's, or the machine's."""
_LAST_WORDS: Final = 2_000
"""How many bytes are logged, at most, of what a process has complained of that ended."""

log = logging.getLogger("emulator.datasets")


class Unread(Exception):
    """Parquet that could not be read for a reason which is not the file's, so that another try may succeed; the message says which."""


def rows_of_parquet(content: bytes, go_on: GoOn) -> bytes:
    """The rows of a Parquet file as NDJSON, nulls included.

    Raises FileFault and TooMuch (ValueErrors) for what cannot be taken, Unread, and what `go_on` raises, which is called ten times
    a second. For a worker thread.
    """
    try:
        process = subprocess.Popen(_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as fault:
        raise Unread(f"no process can be started that reads Parquet: {fault.strerror or fault}") from fault
    with process, ThreadPoolExecutor(1) as pool:
        try:
            # with a `timeout` of its own, `communicate` cannot go on giving what is left of a long input
            talk = _begun(pool, process, content)
            while not talk.done():
                wait([talk], _LOOK_SECONDS)
                go_on()
            told, complaints = talk.result()
        except BaseException:
            process.kill()
            raise
    return _answer(process.returncode, told, complaints)


def segments_of_parquet(path: Path, before: Mark | None, go_on: GoOn) -> Segments:
    """The rows of a Parquet file, in a file without a name; its facts are a Mark, and `before`: the digest of as many rows as that has.

    Raises as `rows_of_parquet`.
    """
    try:
        rows, complaints = scratch(), scratch()
    except OSError as fault:
        raise Unread(f"there is no room for the rows of Parquet: {fault.strerror or fault}") from fault
    try:
        command = _command(str(path), str(0 if before is None else before.rows))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=rows, stderr=complaints)
    except OSError as fault:
        raise Unread(f"no process can be started that reads Parquet: {fault.strerror or fault}") from fault
    with complaints, process:
        try:
            pause = 0.001
            while process.poll() is None:
                go_on()
                time.sleep(pause)
                pause = min(2 * pause, _LOOK_SECONDS / 4)
        except BaseException:
            process.kill()
            rows.close()
            raise
        if process.returncode == _WHOLE:
            return Segments(rows)
        with rows:
            rows.seek(0)
            complaints.seek(0)
            _answer(process.returncode, rows.read(), complaints.read(), MAX_FILE_MEMORY)
            raise AssertionError("whatever is not whole raises")


def _command(*arguments: str) -> list[str]:
    path = json.dumps([path for path in sys.path if isinstance(path, str)])
    return [sys.executable, "-I", "-c", _START, path, *arguments]


def _begun(pool: ThreadPoolExecutor, process: subprocess.Popen[bytes], content: bytes) -> Future[tuple[bytes, bytes]]:
    try:
        return pool.submit(process.communicate, content)
    except RuntimeError as fault:
        raise Unread(f"no thread can be started that talks to the process which reads Parquet: {fault}") from fault


def _answer(status: int, told: bytes, complaints: bytes, memory: int = MAX_PROCESS_MEMORY) -> bytes:
    if status == _WHOLE:
        return told
    if status == _REFUSED:
        raise FileFault(told.decode())
    if status == _NO_MEMORY or (status == -signal.SIGABRT and _NO_MORE in complaints):
        raise too_much("reading it takes", memory, "bytes of memory")
    if status == -getattr(signal, "SIGXCPU", 0):
        raise too_much("reading it takes", MAX_PROCESS_SECONDS, "seconds")
    end = _name_of(status)
    last_words = complaints[-_LAST_WORDS:].decode("utf-8", "backslashreplace").strip() or "nothing"
    log.warning("the process that reads Parquet ended with %s; what it said last: %s", end, last_words)
    if end in _CRASHES:
        raise FileFault(f"this Parquet file cannot be read: it ends the process that reads it ({end})")
    raise Unread(f"the process that reads Parquet was ended with {end}, which is not the file's doing")


def _name_of(status: int) -> str:
    """A process's end in words: the signal, or its exit status."""
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"the exit status {status}"


def main() -> None:
    """The process: a file on standard input, or its path and the number of rows that it had before, and its rows on standard output.

    Or what is wrong, and the exit status.
    """
    path, rows_before = (Path(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 2 else (None, 0)
    content = b"" if path else sys.stdin.buffer.read()
    import arro3.io  # noqa: F401  # what takes memory by itself is there before that is bounded

    # what goes wrong here is not the file's doing
    if path is None:
        _bound_process(MAX_PROCESS_MEMORY, MAX_PROCESS_SECONDS)
    else:
        _bound_process(MAX_FILE_MEMORY)
    try:
        texts = _rows(content) if path is None else _segments(path, rows_before)
    except (ValueError, OSError) as fault:
        sys.stdout.buffer.write(str(fault).encode("utf-8", "backslashreplace"))
        sys.exit(_REFUSED)
    except MemoryError:
        sys.exit(_NO_MEMORY)
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any longer
        sys.stdout.buffer.writelines(texts)
        sys.stdout.flush()
        sys.exit(_WHOLE)


def _segments(path: Path, rows_before: int) -> Iterable[bytes]:
    """Writes a file's rows on standard output."""
    reader = open_parquet(path)
    if not len(reader.schema):
        raise FileFault("there is no column")
    prefix = PrefixDigest(rows_before)
    facts: dict[str, Any] = {}

    def batches() -> Iterator[RecordBatch]:
        rows = 0
        for batch in parquet_batches(path):
            prefix.update_rows(batch)
            rows += batch.num_rows
            yield batch
        facts.update(rows=rows, size=0, digest=prefix.digest(), before=prefix.of_prefix)

    try:
        write_segments(reader.schema, batches(), sys.stdout.buffer, facts)
    except (ValueError, OSError):
        sys.stdout.buffer.seek(0)
        sys.stdout.buffer.truncate()
        raise
    return ()


def _rows(content: bytes) -> list[bytes]:
    made = Made()
    texts: list[bytes] = []
    for batch in parquet_batches(content, _BATCH_ROWS):
        if batch.num_columns > MAX_FIELDS:
            raise FileFault(f"{batch.num_columns} columns; at most {MAX_FIELDS} are possible")
        made.rows(batch.num_rows, batch.num_columns)
        text = rows_as_text(batch, nulls=True)
        made.json(len(text))
        texts.append(text)
    return texts


def _bound_process(memory: int, seconds: int | None = None) -> None:
    """Lets this process take so many bytes more than it has, and so many seconds, where the system knows such bounds."""
    if sys.platform == "win32":
        return
    import resource

    def bound(what: int, soft: int, hard: int) -> None:
        """Where less is allowed already, that stays: raising it would be refused."""
        allowed = resource.getrlimit(what)[1]
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        resource.setrlimit(what, (soft, hard))

    bound(resource.RLIMIT_CORE, 0, 0)
    if seconds is not None:
        bound(resource.RLIMIT_CPU, seconds, seconds + 1)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        bound(resource.RLIMIT_AS, most, most)
