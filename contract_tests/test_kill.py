"""`kill -9` at random moments, under four writers and an export: what was acknowledged is there afterwards."""

from __future__ import annotations

from pathlib import Path

from contract_tests.bench import kills


def test_nothing_acknowledged_is_lost_by_kills(tmp_path: Path) -> None:
    verdict = kills.rounds(tmp_path, 2)
    assert verdict.rounds == 2
    assert verdict.acknowledged > 2
    assert verdict.lost == []
    assert verdict.strays == []
    assert verdict.refused == []
