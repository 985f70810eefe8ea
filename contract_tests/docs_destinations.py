"""The documentation's page of each destination: its ids, parameters, and a body to copy for each step. Made of `fixtures/`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from contract_tests.pages import ADDRESS, ROOT, code, codes, table
from contract_tests.tutorial import BASE, DATA_LAKE, FIRST_DATASET, START_TIME

Json = dict[str, Any]
PARAMETER = ("parameter", "required", "allowed", "what it is")
PAGE = f"""\
# {{name}}

All that an export to this destination needs: ids, parameters, and a body to copy for each step.

{{facts}}

## Credentials: `auth` of the base connection

{{auth}}

## Parameters: `params` of the target connection

{{params}}

## The steps, with curl

Start a server with `flow-service-emulator serve`. Copy the blocks one after the other into a shell. `create` shows the answer and gives
you the new id. Where a request is refused, the server's log and the header `x-emulator-hint` (`curl -i`) say what to fix.

```sh
url={ADDRESS}{BASE}
call() {{{{ curl -sS "$@" -H 'Authorization: Bearer any' -H 'x-api-key: any' -H 'x-gw-ims-org-id: ANY@AdobeOrg' \\
  -H 'x-sandbox-name: prod' -H 'Content-Type: application/json' && echo; }}}}
create() {{{{ call "$url/$1" -d @- | tee /dev/stderr | sed 's/.*"id":"\\([^"]*\\)".*/\\1/'; }}}}
```

### 1. Find a dataset that can be exported

```sh
call "$url/connectionSpecs/{DATA_LAKE}/configs?outputType=activationDatasets&outputField=datasets&limit=3"
call "$url/connectionSpecs/{{spec_id}}"
```

### 2. Source connection: which datasets

{{source}}

{{bases}}

### 4. Target connection: where the files go, and in which form

{{target}}

### 5. Flow: when

A start in the past exports at once, and the contract report warns of it.

{{flow}}

### 6. Let three hours pass, then look at the runs and the files

```sh
curl -sS {ADDRESS}/__emulator/clock/advance -d '{{{{"hours": 3}}}}' && echo
call "$url/runs?property=flowId==$flow"
curl -sS "{ADDRESS}/__emulator/exports?flow=$flow" && echo
```

The rules for `scheduleParams` are in [Schedules](../schedules.md), the names of files in [Files](../../explanation/files.md).
"""


@cache
def destinations() -> list[tuple[Json, Json]]:
    """Each destination's fixture and its flow spec, in the order of their files."""
    specs, flow_specs = (
        [json.loads(file.read_text("utf-8")) for file in sorted((ROOT / "fixtures" / kind).glob("*.json"))]
        for kind in ("connection-specs", "flow-specs")
    )
    return [
        (spec, next(flow for flow in flow_specs if spec["spec"]["id"] in flow["targetConnectionSpecIds"]))
        for spec in specs
        if "destination" in spec
    ]


def destination_list() -> str:
    rows = [
        (
            f"[{fixture['spec']['name']}](destinations/{fixture['destination']}.md)",
            code(fixture["spec"]["id"]),
            code(flow_spec["id"]),
            codes(auth["name"] for auth in fixture["spec"]["authSpec"]) or "none",
        )
        for fixture, flow_spec in destinations()
    ]
    return table(("destination", "connection spec", "flow spec", "`auth.specName`"), rows)


def destination_page(fixture: Json, flow_spec: Json) -> str:
    """The whole page."""
    spec = fixture["spec"]
    name, reference = spec["name"], {"id": spec["id"], "version": spec["version"]}
    place = "/".join(
        [fixture["destination"], *(f"<{fixture[key]}>" for key in ("container", "path") if key in fixture)]
    )
    facts = [
        ("connection spec", f"`{spec['id']}`, version `{spec['version']}`"),
        ("flow spec", f"`{flow_spec['id']}`, version `{flow_spec['version']}`"),
        ("files", f"`<export folder>/{place}/<dataset id>/exportTime=YYYYMMDDHHMM/`"),
    ]
    auth = [
        f"`specName` is `{each['name']}`. Its `params`:\n\n{table(PARAMETER, parameters(each['spec']))}"
        for each in spec["authSpec"]
    ]
    mode = ("`mode`", "", "`Server-to-server`", "sent by every request of the tutorial, though no spec declares it")
    source: Json = {
        "name": "Data Lake",
        "connectionSpec": {"id": DATA_LAKE, "version": "1.0"},
        "params": {"datasets": [{"dataSetId": FIRST_DATASET}]},
    }
    base: Json = {"name": f"{name} account", "connectionSpec": reference}
    given = fixture["examples"]["auth"].items()
    variants = [{**base, "auth": {"specName": kind, "params": params}} for kind, params in given] or [base]
    target: Json = {
        "name": f"{name} folder",
        "baseConnectionId": "$base",
        "connectionSpec": reference,
        "params": fixture["examples"]["target"],
    }
    flow: Json = {
        "name": f"Dataset to {name}",
        "flowSpec": {"id": flow_spec["id"], "version": flow_spec["version"]},
        "sourceConnectionIds": ["$source"],
        "targetConnectionIds": ["$target"],
        "transformations": [],
        "scheduleParams": {"interval": 3, "timeUnit": "hour", "startTime": START_TIME},
    }
    return PAGE.format(
        name=name,
        spec_id=spec["id"],
        facts=table(("what", "here"), facts),
        auth="\n\n".join(auth) or "It takes no credentials: leave `auth` out.",
        params=table(PARAMETER, [*parameters(spec["targetSpec"]["spec"]), mode]),
        source=creating("source", "sourceConnections", source),
        bases="\n\n".join(
            f"### 3. {of_base(body, variants)}\n\n{creating('base', 'connections', body)}" for body in variants
        ),
        target=creating("target", "targetConnections", target),
        flow=creating("flow", "flows", flow),
    )


def of_base(body: Json, variants: list[Json]) -> str:
    kind = f", with `{body['auth']['specName']}`" if "auth" in body else ""
    return ("Base connection: who you are there" if body is variants[0] else "Or another one instead") + kind


def parameters(schema: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row for each property that belongs to dataset flows: a `conditional` may say that one does not."""
    rows = []
    for name, declared in schema["properties"].items():
        condition = declared.get("conditional", {"value": "DATASETS", "operator": "CONTAINS"})
        if (condition["value"], condition["operator"]) == ("DATASETS", "CONTAINS"):
            allowed = codes(declared["enum"]) if "enum" in declared else code(declared.get("pattern", "")) or "any text"
            text = declared.get("description", declared.get("title", "")).rstrip(".")
            text += " (a secret)" if declared.get("format") == "password" else ""
            rows.append((code(name), "yes" if name in schema.get("required", ()) else "", allowed, text))
    return rows


def creating(variable: str, collection: str, body: Json) -> str:
    """A block that creates an entity and stores its id in a variable of the shell."""
    text = json.dumps(body, indent=2)
    assert not re.search(r"[`\\]|\$(?!(source|base|target)\b)", text), "the shell would read this otherwise"
    return f"```sh\n{variable}=$(create {collection} <<JSON\n{text}\nJSON\n)\n```"
