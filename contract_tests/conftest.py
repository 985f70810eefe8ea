"""Fixtures of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract_tests.support import Api, ServerProcess, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server process for all tests of this worker, with a frozen clock."""
    with serving(tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture
def api(server: ServerProcess) -> Iterator[Api]:
    """A client of the session's server, which has forgotten everything before the test."""
    client = Api(server.url)
    client.control("POST", "/reset", params={"exports": "true"})
    yield client
    client.close()


@pytest.fixture
def export_dir(server: ServerProcess) -> Path:
    """Where the session's server writes its files."""
    return server.export_dir
