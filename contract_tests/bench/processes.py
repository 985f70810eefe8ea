"""What a server process takes of the machine, as /proc tells it (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(pid: int, *, peak: bool = False) -> int:
    """The memory that a process has in use, or the most that it ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:" if peak else "VmRSS:")[2].split()[0])


def open_files(pid: int) -> int:
    """How many files and connections a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def bytes_below(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def processor_seconds(pid: int) -> float:
    """How long a process has had a processor, in seconds; what else the machine does changes little about it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
