"""What is called after each run: a command or an address is told of it, and where the call fails, the run has failed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from flow_service_emulator.exports.runs import Run, files_of
from flow_service_emulator.settings import environment_without_settings

SAID: Final = 300
"""Characters of what was said that are told, at most."""


def told_of(run: Run, root: Path) -> dict[str, Any]:
    """What a call is told of a run, as JSON; paths are below `dir`, the export folder `root`.

    `folder` is the one that all files of the run are below; `run` is the record as GET /runs/{id} shows it afterwards.
    """
    job, folder = run.job, posixpath.commonpath(run.folders) if run.pieces else ""
    listed = dict.fromkeys(piece.folder for piece in run.pieces if piece.manifest and run.problem is None)
    return {
        "runId": job.run_id,
        "flowId": job.flow_id,
        "org": job.scope[0],
        "sandbox": job.scope[1],
        "status": run.status,
        "scheduledAt": job.scheduled_at,
        "destination": folder.partition("/")[0],
        "container": next((piece.container for piece in run.pieces), ""),
        "folder": folder,
        "dir": str(root.resolve()),
        "files": files_of(run),
        "manifests": [{"path": f"{each}/manifest-{job.flow_id}-{job.run_id}.json"} for each in listed],
        "run": run.entity,
    }


class AfterExport:
    """The call, if there is one: `words` are a command's, or the one address. `limit` is in seconds of the machine."""

    def __init__(self, words: tuple[str, ...], limit: float) -> None:
        self._first = self.words = words
        self.limit = limit

    @property
    def shown(self) -> str:
        """The call as it was given."""
        return " ".join(self.words) if len(self.words) < 2 else shlex.join(self.words)

    def set(self, url: str | None) -> None:
        """Call another address from now on; None is what the server was started with."""
        self.words = self._first if url is None else (url,)

    async def tell(self, told: Mapping[str, Any]) -> tuple[bool, str]:
        """Call, and return whether that went well, and the status with what was said last. Cancelled, it ends what it started.

        `told` is JSON. In a command's words, `{name}` is the text or number that has this name there.
        """
        words = [re.sub(r"\{(\w+)\}", lambda name: _text(told.get(name[1], name[0])), word) for word in self.words]
        try:
            return await (_post(words[0], told) if "://" in words[0] else _run(words, told))
        except (OSError, ValueError) as fault:  # what cannot be started or reached
            return False, (isinstance(fault, OSError) and fault.strerror) or str(fault)


def _text(value: Any) -> str:
    """`files` and `manifests` are their paths, one a line."""
    return "\n".join(each["path"] for each in value) if isinstance(value, list) else str(value)


async def _run(words: list[str], told: Mapping[str, Any]) -> tuple[bool, str]:
    """Run a command. What it leaves running is not waited for."""
    from tempfile import TemporaryFile

    names = {name: "EXPORT_" + re.sub("([A-Z])", r"_\1", name).upper() for name in told if name != "run"}
    with TemporaryFile() as given, TemporaryFile() as said:  # and no pipes, which what is left running would hold open
        given.write(orjson.dumps(told))
        given.seek(0)
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=given,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment_without_settings() | {names[name]: _text(told[name]) for name in names},
            start_new_session=True,
        )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    if sys.platform == "win32":
                        process.kill()
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        said.seek(max(0, said.seek(0, os.SEEK_END) - 65_536))
        lines = [line.strip() for line in said.read().decode("utf-8", "replace").split("\n")]
    last = next(filter(None, reversed(lines)), "")
    ended = f"exit status {status}" if status >= 0 else f"ended by signal {-status}"
    return status == 0, ended + (last and f": {last[:SAID]}")


async def _post(url: str, told: Mapping[str, Any]) -> tuple[bool, str]:
    """POST what is told as JSON; any status from 200 to 299 is a success."""
    parts, body = urlsplit(url), orjson.dumps(told)
    path = (parts.path or "/") + (parts.query and f"?{parts.query}")
    head = f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer, _, said = (await reader.read()).decode("utf-8", "replace").partition("\r\n\r\n")
    finally:
        writer.close()
    status = re.match(r"HTTP/1\.[01] (\d{3})", answer)
    if status is None:
        raise ValueError("what answers there does not speak HTTP" if answer else "it hung up without an answer")
    return status[1][0] == "2", f"HTTP {status[1]}" + (said and f": {' '.join(said.split())[:SAID]}")
