"""Measures the emulator beside its floor and, with `--old DIR`, beside another checkout of this project with its own `.venv`.

Prints a table; `--json FILE` writes every round's value. Files passed by one request: `python -m contract_tests.bench.files_passed`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from contract_tests.bench.measures import PARTS, Plan, Result
from contract_tests.bench.servers import FLOOR, REPOSITORY, Contender, emulator

QUICK = Plan(rounds=1, seconds=0.7, requests=20_000, entities=20_000, rows=200_000, days=5)


def main(arguments: Sequence[str] | None = None, plan: Plan | None = None) -> int:
    """Measures and shows it; answers the exit status."""
    parser = argparse.ArgumentParser(prog="python -m contract_tests.bench", description=__doc__)
    parser.add_argument("--old", metavar="DIR", type=Path, help="another checkout, run by DIR/.venv/bin/python")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results as JSON as well")
    parser.add_argument("--quick", action="store_true", help="one round of each, and less of everything")
    parser.add_argument("parts", nargs="*", help=f"parts of it: {', '.join(PARTS)}; default all")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(unknown)}")
    plan = plan or (QUICK if options.quick else Plan())
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "floor": "httptools and uvloop" if _fast() else "h11 or asyncio: the extra `bench` is not installed",
        "rounds": str(plan.rounds),
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contenders = [emulator("emulator", REPOSITORY, folder), Contender("floor", FLOOR, folder / "floor")]
        if options.old is not None:
            contenders.append(emulator("old", options.old, folder))
        others = [each.name for each in contenders[1:]]
        heads = ["what", "emulator", *others, *(f"of {other}" for other in others)]
        print(f"| {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) - 1)}", flush=True)
        for part in options.parts or PARTS:
            for result in PARTS[part](plan, contenders):
                print(_line(result, others), flush=True)
                results.append(result)
    if options.json:
        options.json.write_text(json.dumps({**about, "results": [asdict(result) for result in results]}, indent=1))
    return 0


def _line(result: Result, others: Sequence[str]) -> str:
    cells = [result.what]
    for name in ("emulator", *others):
        value = result.median(name)
        cells.append("" if value is None else f"{_number(value)} {result.unit}".strip())
    ratios = [result.ratio(other) for other in others]
    return f"| {' | '.join([*cells, *('' if ratio is None else f'{ratio:.2f}' for ratio in ratios)])} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _fast() -> bool:
    return all(importlib.util.find_spec(name) for name in ("httptools", "uvloop"))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
