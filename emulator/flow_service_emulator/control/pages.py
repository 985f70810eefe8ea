"""The pages: the dashboard's own files, and the documentation at `/__emulator/docs/`, its Markdown as HTML.

The documentation has the paths that it has in the repository, and its headings the ids that GitHub gives them: so links work here
as they do there.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Final

from flow_service_emulator.api.exchange import Exchange, Reply
from flow_service_emulator.built_in import docs_dir
from flow_service_emulator.control.inputs import CONTROL
from flow_service_emulator.control.reports import PAGE_POLICY
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.errors import ServiceError

FOLDER: Final = Path(__file__).parent / "page"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Ending of a file of the dashboard -> its content type."""
SECURITY: Final = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
"""The dashboard loads nothing from elsewhere, runs no script but its own, and is in nobody's frame."""
INDEX: Final = "README.md"
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem }
code { font: 0.875em ui-monospace, monospace }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 4px }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid #8886; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top }
"""


async def to_the_dashboard(emulator: Emulator, exchange: Exchange) -> Reply:
    return Reply(status=302, headers=(("location", f"{CONTROL}/"),))


async def dashboard_file(emulator: Emulator, exchange: Exchange) -> Reply:
    """The file of the dashboard that the path names; the page where it names none."""
    wanted = exchange.path_params.get("file", "index.html")
    file = next((each for each in FOLDER.iterdir() if each.name == wanted and each.suffix in TYPES), None)
    if file is None:
        raise ServiceError("control-not-found", reason=f"the dashboard has no file {wanted[:100]!r}")
    return Reply(file.read_bytes(), headers=SECURITY, content_type=f"{TYPES[file.suffix]}; charset=utf-8")


async def to_the_docs(emulator: Emulator, exchange: Exchange) -> Reply:
    return Reply(status=302, headers=(("location", f"{CONTROL}/docs/"),))


async def docs_page(emulator: Emulator, exchange: Exchange) -> Reply:
    """The page that the path names, with its ending `.md`; without a name the contents."""
    name = exchange.path_params["path"] or INDEX
    folder = docs_dir()
    file = next((each for each in folder.rglob("*.md") if each.relative_to(folder).as_posix() == name), None)
    if file is None:
        raise ServiceError(
            "control-not-found", reason=f"the documentation has no page {name[:100]!r}; see {CONTROL}/docs/"
        )
    html = as_html(file.read_text("utf-8"))
    return Reply(html.encode(), headers=PAGE_POLICY, content_type="text/html; charset=utf-8")


def as_html(markdown: str) -> str:
    """A whole page. The first heading is its title."""
    from markdown_it import MarkdownIt  # 75 ms, which only who reads the documentation has to wait for

    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(markdown)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor(inline.content))
    title = markdown.partition("\n")[0].strip("# ")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title} - flow-service-emulator</title><style>{_STYLE}</style>"
        f'<nav><a href="{CONTROL}/docs/">Contents</a> · <a href="{CONTROL}/">Dashboard</a></nav>'
        f"<main>{parser.renderer.render(tokens, parser.options, {})}</main>"
    )


def anchor(heading: str) -> str:
    """The id that GitHub gives a heading: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
