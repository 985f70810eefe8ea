"""The exported files of a running emulator, as paths and as rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flow_service_emulator.testing.client import ControlClient, Listed

__tracebackhide__ = True  # pytest then shows the line of the test, and not what goes on in here


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One exported file. `relative_path` is below the export folder, `size` in bytes."""

    relative_path: str
    size: int
    row_count: int
    dataset: str
    flow: str
    run: str
    _locate: Callable[[str], Path]

    @property
    def path(self) -> Path:
        """The file on this machine; fetched first when the server is elsewhere."""
        return self._locate(self.relative_path)

    @property
    def name(self) -> str:
        return self.relative_path.rpartition("/")[2]

    def rows(self) -> list[dict[str, Any]]:
        """The file's rows. NDJSON gives them as JSON has them, Parquet with datetimes."""
        return file_rows(self.path)


class Exports(Listed[ExportedFile]):
    """The exported files that are there now, those of the oldest run first."""

    none = "there are {} exported files; clock.advance() runs what falls due"

    def __init__(self, client: ControlClient, folder: Path | None, downloads: Callable[[], Path]) -> None:
        super().__init__(client)
        self._folder = folder
        self._downloads = downloads

    @cached_property
    def export_dir(self) -> Path:
        return self._folder or self._downloads()

    def files(
        self, *, flow: str | None = None, run: str | None = None, dataset: str | None = None
    ) -> list[ExportedFile]:
        """The files of a flow, run or dataset, by their ids."""
        items = self._client.call("GET", "/exports", flow=flow, run=run, dataset=dataset, **self._client.scope)["items"]
        return [
            ExportedFile(
                each["path"], each["size"], each["rows"], each["dataset"], each["flow"], each["run"], self._locate
            )
            for each in items
        ]

    def rows(self, **of: str | None) -> list[dict[str, Any]]:
        """The rows of all these files together, narrowed down like `files`."""
        return [row for file in self.files(**of) for row in file.rows()]

    def _all(self) -> list[ExportedFile]:
        return self.files()

    def __repr__(self) -> str:
        return "\n".join(f"{file.relative_path} ({file.row_count} rows)" for file in self.files()) or "<no files>"

    def _locate(self, relative_path: str) -> Path:
        path = self.export_dir / relative_path
        if self._folder is None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._client.send("GET", f"/__emulator/exports/{relative_path}"))
        return path


def file_rows(path: Path) -> list[dict[str, Any]]:
    """Read NDJSON (`.json`, `.json.gz`) or Parquet. Raises OSError, EOFError or ValueError for what is not as its name says."""
    return list(each_row(path))


def each_row(path: Path, batch_rows: int = 1024) -> Iterator[dict[str, Any]]:
    """The rows of such a file, of Parquet so many read at a time."""
    if path.suffix != ".parquet":
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield from map(json.loads, lines)
        return
    from arro3.io import read_parquet

    try:
        for batch in read_parquet(str(path), batch_size=batch_rows):
            names = batch.schema.names
            columns = [batch.column(name).to_pylist() for name in names]
            yield from (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    except (KeyboardInterrupt, SystemExit, GeneratorExit, FileNotFoundError):
        raise
    except BaseException as fault:  # arro3 panics on broken files; a panic is no Exception and would end the test run
        raise ValueError(f"{path} is not Parquet: {str(fault)[:200]}") from None
