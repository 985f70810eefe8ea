"""Content read: here and now what is small, in a process of its own what is large, and all Parquet.

What a Parquet file says of itself need not be true: a few kilobytes can unpack to gigabytes, and where memory ends, or bytes are
wrong in some ways, arro3 ends the process. Large content of any format would keep other requests waiting. So this is done in a
process that may take so much and no more (as far as the system knows such bounds), that can be ended at any time, and that dies
alone. What came in a request has narrow bounds; a file of the `datasets` folder may be of any size.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from flow_service_emulator.data.datasets.faults import FileFault, NotJson
from flow_service_emulator.data.datasets.reading import Job, Source, convert
from flow_service_emulator.data.datasets.segments import Mark, Segments, schema_in, scratch, stream_of

GoOn = Callable[[], None]
"""Called now and then while content is read; what it raises ends that."""
SMALL: Final = 1 << 20
"""Up to so many bytes content is read without a process: in a tenth of a second, at most."""
MAX_MEMORY: Final = 768_000_000
"""Bytes that the process may take for an upload, of at most 64 MB."""
MAX_FILE_MEMORY: Final = 4_000_000_000
"""The same for a file, of which a row group has to be in memory: only what is wrong takes more."""
MAX_SECONDS: Final = 30
"""Seconds of a processor for an upload."""
_START: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from flow_service_emulator.data.datasets.process import main; main()"
_LOOK_SECONDS: Final = 0.025
_WHOLE, _REFUSED, _NOT_JSON = 5, 3, 6
"""The exit statuses: 0 is also that of a process which somebody has ended midway."""
_LAST_WORDS: Final = 2_000

log = logging.getLogger("emulator.datasets")


def read(job: Job, source: Source, go_on: GoOn = lambda: None) -> Segments:
    """The rows of some content. For a worker thread.

    Raises FileFault for what is wrong with it, OSError, and what `go_on` raises.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > SMALL or job.form == "parquet":
        return _read_in_process(job, source, go_on)
    target = io.BytesIO()
    convert(job, source, target)
    return Segments(target)


def _read_in_process(job: Job, source: Source, go_on: GoOn) -> Segments:
    command = [sys.executable, "-I", "-c", _START, json.dumps([path for path in sys.path if isinstance(path, str)])]
    try:
        with scratch() as given, scratch() as complaints:
            _write_job(job, source, given)
            rows = scratch()
            with subprocess.Popen(command, stdin=given, stdout=rows, stderr=complaints) as process:
                try:
                    pause = 0.001
                    while process.poll() is None:
                        go_on()
                        time.sleep(pause)
                        pause = min(2 * pause, _LOOK_SECONDS)
                    if process.returncode == _WHOLE:
                        return Segments(rows)
                    rows.seek(0)
                    complaints.seek(0)
                    raise _fault(process.returncode, rows.read(), complaints.read(), job.upload)
                except BaseException:
                    process.kill()
                    rows.close()
                    raise
    except InterruptedError:
        raise
    except OSError as fault:
        raise FileFault(f"no process can be started that reads it: {fault.strerror or fault}") from fault


def _fault(status: int, told: bytes, complaints: bytes, upload: bool) -> FileFault:
    if status in (_REFUSED, _NOT_JSON):
        return (NotJson if status == _NOT_JSON else FileFault)(told.decode("utf-8", "replace"))
    try:
        end = signal.Signals(-status).name
    except ValueError:
        end = f"exit status {status}"
    words = complaints[-_LAST_WORDS:].decode("utf-8", "backslashreplace").strip() or "nothing"
    log.warning("the process that reads datasets ended with %s; what it said last: %s", end, words)
    most = f"{MAX_FILE_MEMORY} bytes of memory"
    if upload:
        most = f"{MAX_MEMORY} bytes of memory and {MAX_SECONDS} seconds; a file in the datasets folder of --fixtures may take more"
    return FileFault(f"it cannot be read: it ends the process that reads it ({end}), which may take {most}")


# --- the process ------------------------------------------------------------------------------------------------------


def _write_job(job: Job, source: Source, file: IO[bytes]) -> None:
    types = None if job.types is None else b64encode(stream_of(job.types)).decode()
    path = None if isinstance(source, bytes) else str(source.absolute())
    file.write(json.dumps({**job._asdict(), "types": types, "path": path}).encode() + b"\n")
    if isinstance(source, bytes):
        file.write(source)
    file.flush()
    file.seek(0)


def _read_job(file: IO[bytes]) -> tuple[Job, Source]:
    fields: dict[str, Any] = json.loads(file.readline())
    path = fields.pop("path")
    types, before = fields.pop("types"), fields.pop("before")
    job = Job(
        **fields,
        types=types and schema_in(b64decode(types)),
        before=before and Mark(*before),
    )
    return job, file.read() if path is None else Path(path)


def main() -> None:
    """The process: a job and its content on standard input; on standard output Segments or what is wrong, as the exit status says."""
    job, source = _read_job(sys.stdin.buffer)
    import arro3.io  # noqa: F401  # what takes memory by itself is there before that is bounded

    _bound_process(*(MAX_MEMORY, MAX_SECONDS) if job.upload else (MAX_FILE_MEMORY, None))
    target = sys.stdout.buffer
    try:
        convert(job, source, target)
        target.flush()
    except (ValueError, OSError) as fault:
        target.seek(0)
        target.truncate()
        reason = (fault.strerror if isinstance(fault, OSError) else None) or str(fault) or type(fault).__name__
        target.write(reason.encode("utf-8", "backslashreplace"))
        target.flush()
        sys.exit(_NOT_JSON if isinstance(fault, NotJson) else _REFUSED)
    sys.exit(_WHOLE)


def _bound_process(memory: int, seconds: int | None) -> None:
    """Let this process take so many bytes more than it has, and so many seconds, where the system knows such bounds."""
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
