"""`python -m contract_tests.bench`: the emulator beside its floor, as a table and, with `--json FILE`, as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from contract_tests.bench import measures
from contract_tests.bench.measures import REQUESTS, Plan, Result
from contract_tests.bench.servers import FLOOR, Running, emulator_command, started

OTHER = "other"
"""What the results call the server of `--against`."""
PARTS = ("start", "requests", *REQUESTS, "growth", "exports")


def main(arguments: Sequence[str] | None = None, plan: Plan | None = None) -> int:
    """Measures and shows it; answers the exit status: 2 when the other server does not do what it is asked."""
    parser = argparse.ArgumentParser(prog="python -m contract_tests.bench", description=__doc__)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results as JSON as well")
    parser.add_argument(
        "--against", metavar="URL", help="let another server of the same API answer the same requests as well"
    )
    parser.add_argument("--quick", action="store_true", help="shorter and less certain")
    parser.add_argument("--only", metavar="PART", choices=PARTS, help=f"one part of it: {', '.join(PARTS)}")
    options = parser.parse_args(arguments)
    if options.against and options.only in ("start", "growth", "exports"):
        parser.error(f"--against goes with requests, and --only {options.only} has none")
    plan = plan or (Plan(rounds=1, seconds=0.7, starts=3, rows=100_000, entities=20_000) if options.quick else Plan())
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} CPUs",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    print(", ".join(about.values()) + "\n")
    other = None if options.against is None else Running(OTHER, options.against.rstrip("/"), None, 0.0)
    try:
        if other is not None:
            measures.check(other)
        results = list(_shown(_measured(plan, options.only, other), other))
    except measures.Unfit as reason:
        print(f"{parser.prog}: {reason}", file=sys.stderr)
        return 2
    if options.json:
        entries = [{**asdict(result), "ratio": result.ratio()} for result in results]
        options.json.write_text(json.dumps({**about, "results": entries}, indent=1) + "\n")
    return 0


def _measured(plan: Plan, only: str | None, other: Running | None) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if only in (None, "start"):
            yield from measures.starts(plan, folder)
        if only in (None, "requests", *REQUESTS):
            with ExitStack() as servers:
                running = [
                    servers.enter_context(started("emulator", emulator_command(folder), folder)),
                    servers.enter_context(started("floor", FLOOR, folder)),
                ]
                if other is not None:
                    running.append(other)
                yield from measures.requests(plan, running, only if only in REQUESTS else None)
        if only in (None, "growth"):
            yield from measures.growth(plan, folder)
        if only in (None, "exports"):
            yield from measures.exports(plan, folder)


def _shown(results: Iterable[Result], other: Running | None) -> Iterator[Result]:
    """Prints each result as soon as it is there, as a line of a table."""
    names = ("emulator", "floor") if other is None else ("emulator", "floor", OTHER)
    heads = ["what", "emulator", "floor", *([other.url] if other is not None else []), "of the floor"]
    print(f"| {' | '.join(heads)} |\n|---|{'---:|' * len(names)}---|", flush=True)
    for result in results:
        ratio = result.ratio()
        notes = [*([f"{ratio:.2f}"] if ratio else []), *([result.note] if result.note else [])]
        cells = [f"{_number(result.values[name])} {result.unit}" if name in result.values else "" for name in names]
        print(f"| {' | '.join([result.what, *cells, '; '.join(notes)])} |", flush=True)
        yield result


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
