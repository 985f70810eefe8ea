"""The README and the pages of `emulator/docs`, and what is in them: snippets with their markers, links, prose, tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "emulator" / "docs"
README = ROOT / "README.md"
ADDRESS = "http://127.0.0.1:8080"
"""Where the snippets expect the server."""
_FENCED = re.compile(
    r"(?:<!-- (?P<marker>[^>\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Snippet(NamedTuple):
    """A fenced block. `marker` is what the comment on the line above says, empty where there is none."""

    page: Path
    marker: str
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.marker or self.text.strip().partition(chr(10))[0]}"


def pages() -> list[Path]:
    return [README, *sorted(DOCS.rglob("*.md"))]


def snippets() -> list[Snippet]:
    """Every fenced block of every page, in order."""
    return [
        Snippet(page, found["marker"] or "", found["language"], found["text"])
        for page in pages()
        for found in _FENCED.finditer(page.read_text("utf-8"))
    ]


def snippet(marker: str) -> str:
    """The text of the one block after a marker."""
    found = [each.text for each in snippets() if each.marker == marker]
    assert len(found) == 1, f"{len(found)} snippets have the marker {marker!r}"
    return found[0]


def prose(page: Path) -> str:
    """A page without code, tables, comments, headings and made parts: what is read as sentences."""
    text = re.sub(r"<!-- table: (.+?) -->.*?<!-- /table: \1 -->", "\n", page.read_text("utf-8"), flags=re.DOTALL)
    text = _FENCED.sub("\n", text)
    text = re.sub(r"<!--.*?-->|\]\([^)]*\)|\[[^\]]*\]: \S+|`[^`]*`", " x ", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("|", "#")))


def links(page: Path) -> list[str]:
    """Where the links of a page lead, as they are written."""
    text = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", page.read_text("utf-8")))
    return [first or second for first, second in re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)]


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. A `|` in a cell is escaped, also within code, as GitHub wants it, and a `<` that would begin a tag."""

    def cell(value: object) -> str:
        parts = str(value).replace("|", r"\|").split("`")
        return "`".join(part.replace("<", "&lt;") if index % 2 == 0 else part for index, part in enumerate(parts))

    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(cell, row))} |" for row in lines)


def code(value: object) -> str:
    return f"`{value}`" if str(value) else ""


def codes(values: Iterable[object]) -> str:
    return ", ".join(map(code, values))
