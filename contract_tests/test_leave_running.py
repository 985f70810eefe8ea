"""A server left running for weeks of emulated time: what it takes of the machine stays as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from contract_tests.bench import year


@pytest.mark.skipif(sys.platform != "linux", reason="memory and open files are read from /proc")
def test_weeks_of_exports_leave_memory_files_and_records_flat(tmp_path: Path) -> None:
    samples, runs = year.run(tmp_path, days=10, flows=2, hours=3)
    assert runs in range(10 * 2 * 8, 10 * 2 * 8 + 3)
    early, late = samples[4], samples[-1]
    assert late.files <= early.files
    assert late.runs == early.runs == 2 * year.KEPT_RUNS
    assert late.memory - early.memory < 6_000_000
    assert late.data < 5_000_000
