"""The real client `aepp`, pointed at a server: settings, its service class, and what it was answered."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aepp
import pytest
import requests
from aepp import flowservice

from contract_tests.support import FROZEN_NOW

DATASET, OTHER_DATASET = "5ef3e3259ad2a1191ab7dd7d", "5ef3e324052581191aa6a466"
DAY = 86_400


@dataclass
class Client:
    """The client's service, made as its users make it, and every answer that it got."""

    flows: Any = field(default_factory=lambda: flowservice.FlowService())
    answers: list[requests.Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch(self.flows)

    def watch(self, service: Any) -> Any:
        """Notes what a service of the client is answered, by way of requests' own hook."""
        service.connector.session.hooks["response"].append(lambda answer, **_: self.answers.append(answer))
        return service

    @property
    def status(self) -> int:
        """The last answer's."""
        return self.answers[-1].status_code

    def source(self, *dataset_ids: str) -> str:
        entity_id: str = self.flows.createSourceConnectionDataLake(
            "source", dataset_ids=list(dataset_ids or [DATASET])
        )["id"]
        return entity_id

    def target(self, **params: str) -> str:
        base = self.flows.createBaseConnectionDLZTarget("base")["id"]
        params = {"path": "/aepp", **params}
        entity_id: str = self.flows.createTargetConnectionDatasetToDataLandingZone("target", base, **params)["id"]
        return entity_id

    def flow(self, **options: Any) -> dict[str, Any]:
        """A daily flow to the Data Landing Zone that is due at once, by the client's one call for that; answers it as stored."""
        made = self.flows.exportDatasetToDLZ([DATASET], **{"scheduleStart": FROZEN_NOW - DAY, **options})
        flow: dict[str, Any] = self.flows.getFlow(made["id"])
        return flow


def configure(**settings: Any) -> Any:
    return aepp.configure(
        org_id="TEST@AdobeOrg", client_id="test-key", secret="test-secret", scopes="openid", **settings
    )


def point_at(url: str) -> None:
    """All that a user needs after the usual configuration."""
    aepp.config.endpoints["global"] = url
    aepp.config.config_object["oauthTokenEndpointV2"] = f"{url}/ims/token/v3"


@contextmanager
def own_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """Nothing inside reaches another machine, reads or writes the user's files, or leaves the client's module settings changed."""
    look_up = socket.getaddrinfo

    def local_only(host: Any, *rest: Any, **options: Any) -> Any:
        assert host in ("127.0.0.1", b"127.0.0.1"), f"the client asked for {host!r}"
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local_only)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NETRC", str(folder / "no-netrc"))
    monkeypatch.chdir(folder)
    settings = (aepp.config.config_object, aepp.config.header, aepp.config.endpoints)
    kept = copy.deepcopy(settings)
    yield
    for setting, value in zip(settings, kept, strict=True):
        setting.clear()
        setting.update(value)
