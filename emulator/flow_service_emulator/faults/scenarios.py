"""Named bundles of fault rules: what a client meets in production, and what a good one does about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SCENARIOS: Final[Mapping[str, Mapping[str, Any]]] = {
    "rate-limited": {
        "happens": "The second request is answered 429 with Retry-After, and a tenth of the later ones; pressing on before that time is refused, too.",
        "goodClient": "Waits as many seconds as Retry-After says, then sends the same request again; other requests wait as well.",
        "rules": [
            {"kind": "rate-limit", "nth": 2, "retryAfter": 1},
            {"kind": "rate-limit", "rate": 0.1, "retryAfter": 1},
        ],
    },
    "token-expiry": {
        "happens": "The access token of the third request expires: it is answered 401 (401013), as is every later one that still carries it.",
        "goodClient": "Fetches a new access token once, sends the request again with it, and uses it from then on.",
        "rules": [
            {"kind": "token-expired", "nth": 3},
        ],
    },
    "flaky-gateway": {
        "happens": "The first creation is carried out, but answered 504; other requests meet 503, resets, cut-off bodies and delays now and then.",
        "goodClient": "Repeats reads with growing waits; after a creation without an answer, looks whether the entity is there before creating it again.",
        "rules": [
            {"kind": "error", "error": "gateway-timeout", "operation": "create:*", "stage": "after", "nth": 1},
            {"kind": "delay", "seconds": 0.2, "rate": 0.1},
            {"kind": "error", "error": "service-unavailable", "rate": 0.15},
            {"kind": "reset", "rate": 0.05},
            {"kind": "truncate", "method": "GET", "rate": 0.05},
        ],
    },
    "lost-update": {
        "happens": "Somebody else changes the entity just before the first PATCH is looked at, so its etag is not the latest any more: 412.",
        "goodClient": "On 412 fetches the entity again, makes its change again on what is there now, and sends it with the new etag.",
        "rules": [
            {"kind": "etag-changed"},
        ],
    },
    "export-outage": {
        "happens": "The next two exports fail while their files are being written; none stay, and the rows come with the next export that succeeds.",
        "goodClient": "Looks at each run's status before taking its files, reports failed runs, and waits for the next one instead of copying rows itself.",
        "rules": [
            {"kind": "run", "stage": "during", "times": 2},
        ],
    },
    "adhoc-not-ready": {
        "happens": "For ten minutes after its creation a flow's ad hoc runs are answered 400: it is not ready, wait for 10 minutes and retry.",
        "goodClient": "Knows that answer by its text, waits, and asks again; it does not create the flow a second time.",
        "rules": [
            {"kind": "adhoc-not-ready"},
        ],
    },
}
"""Name -> what happens, what a good client does, and the rules, in the form in which `/__emulator/faults` takes them."""
