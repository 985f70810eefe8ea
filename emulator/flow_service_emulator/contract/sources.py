"""Where the sources that the rules name can be read: one table, so that an address that moves is fixed in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_DOCS: Final = "https://experienceleague.adobe.com/docs/experience-platform"
_TROUBLESHOOTING: Final = f"{_DOCS}/landing/troubleshooting.html"
ADDRESSES: Final[Mapping[str, str]] = {
    "Flow Service error messages": f"{_DOCS}/sources/errors/flow-service-errors.html",
    "Export datasets using the Flow Service API": f"{_DOCS}/destinations/api/export-datasets.html",
    "Export datasets to cloud storage destinations": f"{_DOCS}/destinations/ui/activate/export-datasets.html",
    "Flow Service API - Destinations": "https://developer.adobe.com/experience-platform-apis/references/destinations/",
    "Platform troubleshooting guide, request header": f"{_TROUBLESHOOTING}#request-header-errors",
    "Platform troubleshooting guide": _TROUBLESHOOTING,
    "Sorting and filtering responses in the Flow Service API": f"{_DOCS}/dataflows/api/sort-and-filter.html",
    "Update destination dataflows using the Flow Service API": f"{_DOCS}/destinations/api/update-destination-dataflows.html",
    "Sandbox UI guide": "https://experienceleague.adobe.com/en/docs/experience-platform/sandbox/ui/user-guide",
    "RFC 6749": "https://www.rfc-editor.org/rfc/rfc6749",
    "RFC 6902": "https://www.rfc-editor.org/rfc/rfc6902",
    "RFC 9110": "https://www.rfc-editor.org/rfc/rfc9110",
}
"""Name of a source -> its public address. Of two names that fit, the first counts.

The addresses are those that the published API reference itself gives, but for the Sandbox UI guide's and the RFCs'.
"""


def source_url(source: str) -> str:
    """The address of what a rule names as its source; empty where nothing public says it."""
    return next((address for name, address in ADDRESSES.items() if name in source), "")
