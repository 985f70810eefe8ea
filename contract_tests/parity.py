"""The mark of parity that every black-box test has: how well it is known that the real service does the same.

It follows from the docstrings, so that a source is named once. A test's own says it where it begins with one of WORDS, as in
`Confirmed: 2026-11-28, recording of …`, `Guessed: …` or `Row 1430. …`; else the `Source:` of its module counts.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

CONFIRMED, DOCUMENTED, GUESSED, OWN = "confirmed", "documented", "guessed", "own"
"""Seen at the real service; said by a document; said by none; about the emulator's own calls and files."""
WORDS: Final = {
    r"Confirmed: ": CONFIRMED,
    r"Guessed: ": GUESSED,
    r"Own: ": OWN,
    r"(API r|R)eference|Rows? \d|Steps? \d|RFC \d|Tutorial|DEST|FLOW|ADHOC|CAT|GUIDE|AEPP": DOCUMENTED,
}
"""How the docstring of a test begins -> its mark."""
_OWN_SOURCES: Final = ("documentation", "design", "README")
"""What the sources of a module about the emulator itself begin with."""


class Parity(NamedTuple):
    kind: str
    source: str


def parity(module: str, test: str) -> Parity:
    """The mark of a test, by the docstrings of its module and its own."""
    text = " ".join(test.split())
    for words, kind in WORDS.items():
        if re.match(words, text):
            return Parity(kind, text)
    found = re.search(r"^Sources?: (.*?)(?:\n\n|\Z)", module, re.DOTALL | re.MULTILINE)
    source = " ".join(found[1].split()) if found else ""
    if source.startswith(_OWN_SOURCES):
        return Parity(OWN, source)
    return Parity(DOCUMENTED if source else GUESSED, source)


def counted() -> dict[str, Counter[str]]:
    """How many black-box tests of each file have which mark, parametrized ones as one."""
    counts: dict[str, Counter[str]] = {}
    for file in sorted((Path(__file__).parent / "api").glob("test_*.py")):
        module = ast.parse(file.read_text("utf-8"))
        tests = [
            each for each in ast.walk(module) if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
        ]
        text = ast.get_docstring(module) or ""
        counts[file.stem] = Counter(parity(text, ast.get_docstring(each) or "").kind for each in tests)
    return counts
