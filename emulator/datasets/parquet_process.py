"""Parquet that came in a request, read in a process of its own.

What a Parquet file says of itself need not be true, and one page of it, which a few kilobytes can unpack to gigabytes, can be had only
as a whole. Meanwhile arro3 lets no other thread run, and where memory ends it ends the process. So this is done in a process
that may take so much and no more, and that can be ended at any time. (Only Linux has such a bound on memory; elsewhere just the rows
that are made are counted.) Files of the `datasets` folder are the user's own and are read without all this.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from emulator.datasets.bounds import MAX_PROCESS_MEMORY, MAX_PROCESS_SECONDS, Made, too_much
from emulator.datasets.record_files import FileFault, parquet_batches, rows_as_text
from emulator.datasets.record_rows import GoOn
from emulator.datasets.record_shape import MAX_FIELDS

_BATCH_ROWS: Final = 64
"""How many rows are made at a time: a text of a megabyte that all rows have in common is stored, and packed, once."""
_START: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from emulator.datasets.parquet_process import main; main()"
_LOOK_SECONDS: Final = 0.1
_REFUSED: Final = 3
"""The exit status with which the process tells what is wrong with the file."""
_NO_MEMORY: Final = 4


def rows_of_parquet(content: bytes, go_on: GoOn) -> bytes:
    """The rows of a Parquet file as NDJSON, nulls included.

    Raises FileFault and TooMuch (ValueErrors) for what cannot be taken, and what `go_on` raises, which is called ten times a second.
    For a worker thread.
    """
    command = [sys.executable, "-I", "-c", _START, json.dumps([path for path in sys.path if isinstance(path, str)])]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as fault:
        raise FileFault(f"no process can be started that reads Parquet ({fault.strerror}); send it as CSV") from fault
    told: list[bytes] = []
    # with a `timeout` of its own, `communicate` cannot go on giving what is left of a long input
    talk = threading.Thread(target=lambda: told.append(process.communicate(content)[0]))
    talk.start()
    try:
        while talk.is_alive():
            talk.join(_LOOK_SECONDS)
            go_on()
    except BaseException:
        process.kill()
        raise
    finally:
        talk.join()
    return _answer(process.returncode, b"".join(told))


def _answer(status: int | None, told: bytes) -> bytes:
    if status == 0:
        return told
    if status == _REFUSED:
        raise FileFault(told.decode())
    if status in (_NO_MEMORY, -signal.SIGABRT):  # Rust aborts where memory ends
        raise too_much("reading it takes", MAX_PROCESS_MEMORY, "bytes of memory")
    if status == -getattr(signal, "SIGXCPU", 0):
        raise too_much("reading it takes", MAX_PROCESS_SECONDS, "seconds")
    raise FileFault("this Parquet file cannot be read: it ends the process that reads it")


def main() -> None:
    """The process: a file on standard input, its rows on standard output, or what is wrong and the exit status."""
    with contextlib.suppress(KeyboardInterrupt):
        content = sys.stdin.buffer.read()
        try:
            texts = _rows(content)
        except ValueError as fault:
            sys.stdout.buffer.write(str(fault).encode("utf-8", "backslashreplace"))
            sys.exit(_REFUSED)
        except MemoryError:
            sys.exit(_NO_MEMORY)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any longer
            sys.stdout.buffer.writelines(texts)
            sys.stdout.flush()


def _rows(content: bytes) -> list[bytes]:
    import arro3.io  # noqa: F401  # what takes memory by itself is there before that is bounded

    made = Made()
    texts: list[bytes] = []
    _bound_memory()
    for batch in parquet_batches(content, _BATCH_ROWS):
        if batch.num_columns > MAX_FIELDS:
            raise FileFault(f"{batch.num_columns} columns; at most {MAX_FIELDS} are possible")
        made.rows(batch.num_rows, batch.num_columns)
        text = rows_as_text(batch, nulls=True)
        made.json(len(text))
        texts.append(text)
    return texts


def _bound_memory() -> None:
    """Lets this process take MAX_PROCESS_MEMORY more than it has, where the system knows such bounds."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_PROCESS_SECONDS, MAX_PROCESS_SECONDS + 1))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + MAX_PROCESS_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
