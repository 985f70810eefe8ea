"""The exported files of a running emulator, as paths and as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from flow_service_emulator.testing.control_client import ControlClient

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
        from flow_service_emulator.testing.file_rows import file_rows

        return file_rows(self.path)


class Exports(Sequence[ExportedFile]):
    """The exported files that are there now, those of the oldest run first."""

    def __init__(
        self, client: ControlClient, folder: Path | None, downloads: Callable[[], Path], scope: Mapping[str, str]
    ) -> None:
        self._client = client
        self._folder = folder
        self._downloads = downloads
        self._scope = scope

    @cached_property
    def export_dir(self) -> Path:
        return self._folder or self._downloads()

    def files(
        self, *, flow: str | None = None, run: str | None = None, dataset: str | None = None
    ) -> list[ExportedFile]:
        """The files of a flow, run or dataset, by their ids."""
        items = self._client.call("GET", "/exports", flow=flow, run=run, dataset=dataset, **self._scope)["items"]
        return [
            ExportedFile(
                item["path"], item["size"], item["rows"], item["dataset"], item["flow"], item["run"], self._locate
            )
            for item in items
        ]

    def rows(
        self, *, flow: str | None = None, run: str | None = None, dataset: str | None = None
    ) -> list[dict[str, Any]]:
        """The rows of all these files together."""
        return [row for file in self.files(flow=flow, run=run, dataset=dataset) for row in file.rows()]

    def __len__(self) -> int:
        return len(self.files())

    def __iter__(self) -> Iterator[ExportedFile]:
        return iter(self.files())

    @overload
    def __getitem__(self, index: int) -> ExportedFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[ExportedFile]: ...
    def __getitem__(self, index: int | slice) -> ExportedFile | list[ExportedFile]:
        files = self.files()
        if isinstance(index, int) and not -len(files) <= index < len(files):
            raise IndexError(f"there are {len(files)} exported files; clock.advance() runs what falls due")
        return files[index]

    def _locate(self, relative_path: str) -> Path:
        path = self.export_dir / relative_path
        if self._folder is None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._client.send("GET", f"/__emulator/exports/{relative_path}"))
        return path
