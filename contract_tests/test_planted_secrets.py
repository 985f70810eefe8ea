"""A credential that a client put into the wrong place is nowhere to be read: one table of places, one search of everything.

What is searched: every answer with its headers, the entities as they are shown later, the journal, the snapshot, the data
folder, the log, the contract report in all its forms, and the calls of the page.

The limit: only what has the looks of a credential, or stands where credentials stand (in `auth`, under a name such as
`password`, in a header or query parameter that is not known to be harmless), can be told from other words. A password that
is a mere word, such as `hunter2`, is data like any other in a description, a path, or as the name of a field. So are 40
random characters, which is what a secret key of Amazon S3 or Google looks like, in a name and in `params`: they may well
be meant there. They are masked in the log and the journal, not in the entity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract_tests.planted import ANY_SHAPE, MARK, World, places
from contract_tests.support import Api, ServerProcess, serving
from contract_tests.tutorial import S3
from flow_service_emulator.validation.validation import MASK

WORD = "hunter2-is-only-a-word"
SHAPES_OF_PLACE = 3
"""So many shapes are tried in each place, others in the next: all in all of them would take three times as long."""
COLLECTIONS = ("connections", "sourceConnections", "targetConnections", "flows", "runs")
REPORTS = ("json", "text", "junit", "html")


def test_a_planted_secret_is_nowhere_to_be_read(tmp_path: Path) -> None:
    planted: dict[str, str] = {}
    shown: dict[str, str] = {}
    with serving(tmp_path, "--data-dir", str(tmp_path / "data"), "--journal-entries", "100000") as process:
        api = Api(process.url)
        world = World.of(api)
        for turn, place in enumerate(places()):
            shapes = place.shapes()
            for shape in {shapes[(turn * SHAPES_OF_PLACE + number) % len(shapes)] for number in range(SHAPES_OF_PLACE)}:
                told = f"{shape} in {place.name[:200]}, {place.method} {place.path}"
                secret = ANY_SHAPE[shape](f"{told} {len(planted)}")
                planted[secret.mark] = told
                answer = place.send(world, secret.sent)
                assert answer.status_code != 500, (told, answer.text)
                shown[f"answer to {told}"] = "\n".join([answer.text, *answer.headers.values()])
        api.created("connections", {**S3.base_connection(), "description": WORD})
        shown |= outputs(api)
        api.close()
    shown |= written(process)
    assert len(planted) > 2_000
    for name in ("lists connections", "journal", "snapshot", "data folder"):
        assert WORD in shown[name], name  # else the search would find nothing whatever there is
    leaks = {(planted[mark], name) for name, text in shown.items() for mark in MARK.findall(text)}
    assert sorted(leaks) == []


def outputs(api: Api) -> dict[str, str]:
    """Whatever the server shows to those who ask it."""
    shown = {f"lists {name}": pages(api, f"/{name}") for name in COLLECTIONS}
    shown["journal"] = api.http.get("/__emulator/requests").text
    shown["snapshot"] = api.http.get("/__emulator/state").text
    for form in REPORTS:
        shown[f"contract report as {form}"] = api.http.get(f"/__emulator/contract?format={form}").text
    described: dict[str, dict[str, Any]] = api.http.get("/openapi.json").json()["paths"]
    for path, methods in described.items():
        if path.startswith("/__emulator") and "get" in methods and "{" not in path:
            shown[path] = api.http.get(path).text
    return shown


def pages(api: Api, path: str) -> str:
    """A whole list, page after page."""
    texts: list[str] = []
    while path:
        answer = api.get(path)
        assert answer.status_code == 200, answer.text
        texts.append(answer.text)
        path = answer.json()["_links"].get("next", {}).get("href", "")
    return "\n".join(texts)


def written(process: ServerProcess) -> dict[str, str]:
    """Whatever the server wrote to its disk."""
    data = process.log.parent / "data"
    files = sorted(path for path in data.rglob("*") if path.is_file())
    assert files
    return {
        "data folder": "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files),
        "log": process.log.read_text(),
    }


def test_what_is_legal_is_stored_as_it_came(api: Api) -> None:
    """Names, descriptions, places and unknown fields, though they speak of keys and tokens."""
    described = {
        "name": "Export of the secret: key 5",
        "description": "token=abc123 and https://user@host/ are only mentioned; password: see the vault",
        "unknown": {"tokens": None, "usesPassword": True, "key": "k", "list": [1, 2.5, "text", {"a": []}]},
        "places": [
            "Exports/B2B/Q3/2026/Orders/EMEA/DACH/Dai is where the files of team B2B go",
            "s3://acme/Exports/B2B/Q3/2026/Orders/EMEA/DACH/Kids/part-000.json",
        ],
    }
    stored = api.item(f"/connections/{api.created('connections', {**S3.base_connection(), **described})}")
    assert stored["auth"]["params"] == {"s3AccessKey": "AKIAIOSFODNN7EXAMPLE", "s3SecretKey": MASK}
    assert {name: stored[name] for name in described} == described
    path = "secret/token/Year2024/Month05/sig.1/customers"
    target = api.item(f"/targetConnections/{api.target(S3, path=path)}")
    assert target["params"]["path"] == path
    assert target["params"]["bucketName"] == S3.target_connection("x")["params"]["bucketName"]


def test_a_patch_of_a_masked_field_is_a_change(api: Api) -> None:
    """Although the entity looks the same before and after."""
    path = f"/connections/{api.created('connections', {**S3.base_connection(), 'sasToken': 'first'})}"
    before = api.item(path)
    assert before["sasToken"] == MASK
    change = [{"op": "replace", "path": "/sasToken", "value": "second"}]
    assert api.patch(path, before["etag"], change).status_code == 200
    after = api.item(path)
    assert after["sasToken"] == MASK
    assert after["etag"] != before["etag"]
