"""Many clients at once: no answer of the server's own fault, no lost update, no torn read, advances one after the other."""

from __future__ import annotations

from pathlib import Path

from contract_tests.bench import crowd


def test_a_crowd_loses_nothing(tmp_path: Path) -> None:
    found = crowd.run(tmp_path, connections=60, seconds=1.2)
    assert found.wrong == []
    assert found.conflicts > 0, "nobody got in another's way"
    assert len(found.instants) > 2
    assert sum(found.patches.values()) > 10
