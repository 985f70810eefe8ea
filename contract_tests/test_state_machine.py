"""The life of entities, as a state machine: whatever is created, patched, acted on and deleted in whatever order, the answers
are those of a simple model.

Source of the model's rules: reference, section "Endpoints"; rows 1404, 1418, 1422, 1439 and 1447 of the error table.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from contract_tests.support import FROZEN_NOW, Api, ServerProcess, assert_error, violations
from contract_tests.tutorial import S3, SOURCE_CONNECTION

COLLECTIONS = ("connections", "sourceConnections", "targetConnections", "flows")
NAMES = st.sampled_from(["a", "b", "ü", "x" * 300])
LATER = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 3600}
PICKS = st.integers(0, 2)
"""Which of the entities that were made last, deleted ones included; few, so that they meet often."""
ETAGS = st.sampled_from([None, None, None, '"stale"'])
ORGS = itertools.count()
"""Each run of the machine has an organization of its own, on the server that all tests share."""


@dataclass
class Known:
    """What the model knows of an entity."""

    id: str
    name: str
    etag: str
    state: str = "enabled"
    uses: dict[str, str] = field(default_factory=dict)
    """Collection -> id of what it refers to."""


class LifeCycle(RuleBasedStateMachine):
    """Creates, patches, enables, disables and deletes, and compares."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.api = Api(self.url, org=f"MACHINE{next(ORGS)}@AdobeOrg")
        self.model: dict[str, dict[str, Known]] = {collection: {} for collection in COLLECTIONS}
        self.made: dict[str, list[str]] = {collection: [] for collection in COLLECTIONS}
        self.bases: dict[str, str] = {}
        """Target connection -> its base connection, whether it is still there or not."""
        self.create_connection("first")
        self.create_source("first")
        self.create_target("first", 0)
        self.create_flow("first", 0, 0)

    def teardown(self) -> None:
        try:
            for collection in COLLECTIONS:
                self.compare(collection)
        finally:
            self.api.close()

    def pick(self, collection: str, number: int) -> str:
        made = self.made[collection]
        return made[-1 - number % len(made)]

    def compare(self, collection: str) -> None:
        """The list is the model's, newest first, and nothing else."""
        items = self.api.items(f"/{collection}?property=id,name,etag,version,state")
        assert items == [
            {"id": each.id, "name": each.name, "etag": each.etag, "version": each.etag, "state": each.state}
            for each in reversed(self.model[collection].values())
        ]

    # --- creation -------------------------------------------------------------------------------------------------

    def create(self, collection: str, body: dict[str, Any], **uses: str) -> None:
        response = self.api.post(f"/{collection}", body)
        assert response.status_code == 201, response.text
        created = response.json()
        assert created["id"] not in self.made[collection]
        self.made[collection].append(created["id"])
        self.model[collection][created["id"]] = Known(created["id"], body["name"], created["etag"], uses=uses)
        self.compare(collection)

    @rule(name=NAMES)
    def create_connection(self, name: str) -> None:
        self.create("connections", {**S3.base_connection(), "name": name})

    @rule(name=NAMES)
    def create_source(self, name: str) -> None:
        self.create("sourceConnections", {**SOURCE_CONNECTION, "name": name})

    @rule(name=NAMES, pick=PICKS)
    def create_target(self, name: str, pick: int) -> None:
        base = self.pick("connections", pick)
        body = {**S3.target_connection(base), "name": name}
        if base in self.model["connections"]:
            self.create("targetConnections", body, connections=base)
            self.bases[self.made["targetConnections"][-1]] = base
        else:
            assert set(violations(self.api.post("/targetConnections", body))) == {"baseConnectionId"}

    @rule(name=NAMES, of=PICKS, to=PICKS)
    def create_flow(self, name: str, of: int, to: int) -> None:
        source, target = self.pick("sourceConnections", of), self.pick("targetConnections", to)
        body = {**S3.flow(source, target, **LATER), "name": name}
        missing = self.missing({"sourceConnections": source, "targetConnections": target})
        if missing:
            assert set(violations(self.api.post("/flows", body))) == missing
        else:
            self.create("flows", body, sourceConnections=source, targetConnections=target)

    def missing(self, uses: dict[str, str]) -> set[str]:
        """The places of references that lead to nothing (the table allows such deletions)."""
        places = {
            "connections": "baseConnectionId",
            "sourceConnections": "sourceConnectionIds[0]",
            "targetConnections": "targetConnectionIds[0]",
        }
        found = {places[collection] for collection, used in uses.items() if used not in self.model[collection]}
        target = self.model["targetConnections"].get(uses.get("targetConnections", ""))
        if target is not None and target.uses["connections"] not in self.model["connections"]:
            found.add("targetConnectionIds[0]")
        return found

    # --- change ---------------------------------------------------------------------------------------------------

    @rule(collection=st.sampled_from(COLLECTIONS), pick=PICKS, name=NAMES, etag=ETAGS)
    def rename(self, collection: str, pick: int, name: str, etag: str | None) -> None:
        entity_id = self.pick(collection, pick)
        known = self.model[collection].get(entity_id)
        sent = etag or (known.etag if known else '"any"')
        response = self.api.patch(
            f"/{collection}/{entity_id}", sent, [{"op": "replace", "path": "/name", "value": name}]
        )
        if known is None:
            assert_error(response, "resource-not-found", collection=collection, id=entity_id)
        elif sent != known.etag:
            assert_error(response, "version-mismatch", supplied=sent, current=known.etag)
        elif missing := self.missing(known.uses):
            assert set(violations(response)) == missing
        else:
            assert response.status_code == 200, response.text
            assert (response.json()["etag"] != known.etag) == (name != known.name)
            known.name, known.etag = name, response.json()["etag"]
        self.compare(collection)

    @rule(pick=PICKS, op=st.sampled_from(["enable", "disable", "Disable"]))
    def act(self, pick: int, op: str) -> None:
        entity_id = self.pick("flows", pick)
        response = self.api.post(f"/flows/{entity_id}/action?op={op}")
        known = self.model["flows"].get(entity_id)
        state = f"{op.lower()}d"
        if known is None:
            assert_error(response, "resource-not-found", collection="flows", id=entity_id)
        elif known.state == state:
            assert_error(response, "action-not-applicable", action=op.lower(), state=state)
        elif state == "enabled" and (missing := self.missing(known.uses)):
            assert set(violations(response)) == missing
        else:
            assert response.status_code == 200, response.text
            assert response.json()["etag"] != known.etag
            known.state, known.etag = state, response.json()["etag"]
        self.compare("flows")

    # --- deletion -------------------------------------------------------------------------------------------------

    @rule(collection=st.sampled_from(COLLECTIONS), pick=PICKS)
    def delete(self, collection: str, pick: int) -> None:
        entity_id = self.pick(collection, pick)
        response = self.api.delete(f"/{collection}/{entity_id}")
        if entity_id not in self.model[collection]:
            assert_error(response, "resource-not-found", collection=collection, id=entity_id)
        elif error := self.blocked(collection, entity_id):
            assert_error(response, error, id=entity_id)
        else:
            assert (response.status_code, response.content) == (202, b"")
            del self.model[collection][entity_id]
        self.compare(collection)

    def blocked(self, collection: str, entity_id: str) -> str | None:
        """The error that keeps an entity from deletion."""
        flows = self.model["flows"].values()
        if collection == "connections":
            used = {self.bases[flow.uses["targetConnections"]] for flow in flows}  # of targets that are gone, too
            return "base-connection-in-use" if entity_id in used else None
        active = any(flow.state == "enabled" and flow.uses.get(collection) == entity_id for flow in flows)
        return "in-active-flow" if active else None


@pytest.mark.slow
def test_life_cycle(server: ServerProcess) -> None:
    class Bound(LifeCycle):
        url = server.url

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
