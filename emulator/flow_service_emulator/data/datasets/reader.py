"""Content read: here what is small, in a process of its own what is large, and all Parquet.

What a Parquet file says of itself need not be true: a few kilobytes can unpack to gigabytes, and where memory ends, or bytes are
wrong in some ways, arro3 ends the process. Large content of any format would keep other requests waiting. So this is done in a
process that may take so much and no more (as far as the system knows such bounds), that can be ended at any time, and that dies
alone. What came in a request has narrow bounds; a file of the `datasets` folder may take as much as a machine has to spare.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any, Final

from flow_service_emulator.data.datasets.content import FileFault, Found, Job, Source
from flow_service_emulator.data.datasets.tables import from_stream
from flow_service_emulator.errors import ServiceError

SMALL: Final = 1 << 20
"""Up to so many bytes content is read without a process: in a tenth of a second, at most."""
MAX_MEMORY: Final = 768_000_000
"""Bytes that the process may take for an upload, of at most 64 MB (the limit of a body)."""
MAX_FILE_MEMORY: Final = 4_000_000_000
"""The same for a file, whose rows are in memory, too."""
MAX_SECONDS: Final = 30
"""Seconds of a processor for an upload."""
_START: Final = "from flow_service_emulator.data.datasets.reading import main; main()"

log = logging.getLogger("emulator.datasets")


class Reader:
    """Read content, until `stop` is called."""

    def __init__(self) -> None:
        self._processes: set[Process] = set()
        self._stopped = False

    def stop(self) -> None:
        """End what is read: `read` raises the ServiceError `server-ending` from now on."""
        self._stopped = True
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                process.kill()

    async def read(self, job: Job, source: Source) -> Found:
        """The rows of some content. Raises FileFault for what is wrong with it, OSError, and ServiceError."""
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if self._stopped:
            raise ServiceError("server-ending")
        if size <= SMALL and job.form != "parquet":
            from flow_service_emulator.data.datasets.reading import convert  # most servers never read anything

            return await asyncio.to_thread(convert, job, source)
        outcome = await self._read_in_process(job, source)
        if isinstance(outcome, Exception):
            raise outcome
        stream, facts = outcome
        return Found(await asyncio.to_thread(from_stream, stream), facts)

    async def _read_in_process(self, job: Job, source: Source) -> Any:
        """What `reading.main` answers. Raises FileFault where it does not."""
        bounds = (MAX_MEMORY, MAX_SECONDS) if job.upload else (MAX_FILE_MEMORY, None)
        path = [path for path in sys.path if isinstance(path, str)]
        command = (sys.executable, "-I", "-c", f"import sys; sys.path[:] = {path!r}; {_START}")
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        except OSError as fault:
            raise FileFault(f"no process can be started that reads it: {fault.strerror or fault}") from fault
        self._processes.add(process)
        if self._stopped:
            process.kill()
        try:
            output, complaints = await process.communicate(pickle.dumps((job, source, *bounds)))
        finally:
            self._processes.discard(process)
            if process.returncode is None:  # nobody waits for it any more
                process.kill()
                await process.wait()
        if self._stopped:
            raise ServiceError("server-ending")
        if process.returncode:
            raise _ended_by(process.returncode, complaints, job.upload)
        return await asyncio.to_thread(pickle.loads, output)


def _ended_by(status: int, complaints: bytes, upload: bool) -> FileFault:
    try:
        end = signal.Signals(-status).name
    except ValueError:
        end = f"exit status {status}"
    words = complaints[-2_000:].decode("utf-8", "backslashreplace").strip() or "nothing"
    log.warning("the process that reads datasets ended with %s; what it said last: %s", end, words)
    most = f"{MAX_FILE_MEMORY} bytes of memory"
    if upload:
        most = f"{MAX_MEMORY} bytes of memory and {MAX_SECONDS} seconds; a file in the datasets folder of --fixtures may take more"
    return FileFault(f"it cannot be read: it ends the process that reads it ({end}), which may take {most}")
