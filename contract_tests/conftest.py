"""Fixtures and options of the tests.

`pytest contract_tests/api --base-url URL` holds another implementation, or the real service, against the same black-box
tests: with credentials from the environment (`contract_tests.elsewhere`), without what needs control of the emulator, under
recognisable names, and cleaning up. At the end it says which facts were confirmed, when and where (`contract_tests.facts`).
"""

from __future__ import annotations

import asyncio
import compileall
import inspect
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import flow_service_emulator
from contract_tests.elsewhere import Address
from contract_tests.facts import Facts, fact_of
from contract_tests.parity import parity
from contract_tests.support import Api, KeptConnections, RunReport, ServerProcess, serving
from flow_service_emulator.cli import main

NOT_ELSEWHERE = {
    "emulator_only": "needs control of the emulator, or is about it",
    "exports": "makes runs, which no call can delete: --also exports",
    "rough": "sends what a service should not be sent for nothing: --also rough",
}
"""Marks of tests that are left out with --base-url, and why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--base-url", help="address of another implementation for contract_tests/api to run against")
    parser.addoption(
        "--also",
        action="append",
        default=[],
        choices=["exports", "rough"],
        help="with --base-url: tests that make runs, or that send bodies of a megabyte and the like",
    )
    parser.addoption("--facts", type=Path, metavar="FILE", help="with --base-url: write the facts there, as JSON")
    parser.addoption("--slow", action="store_true", help="run the long tests as well")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test waits for its server a third of its time."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # as an installation does: where Python does not keep what it compiles, every server's start would take half as long again
        compileall.compile_dir(Path(flow_service_emulator.__file__).parent, quiet=2)
    if config.getoption("--base-url") and not hasattr(config, "workerinput"):
        address = Address.read(config.getoption("--base-url"), os.environ)
        config.pluginmanager.register(Facts(address, config.getoption("--facts")))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine, in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "api":
            known = parity(inspect.getdoc(item.module) or "", inspect.getdoc(item.function) or "")  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.parity(kind=known.kind, source=known.source))
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="a long test; --slow runs it"))
        if config.getoption("--base-url"):
            item.user_properties.append(("fact", fact_of(item)))
            for mark, reason in NOT_ELSEWHERE.items():
                if item.get_closest_marker(mark) and mark not in config.getoption("--also"):
                    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[ServerProcess]:
    """One server process for all tests of this worker, with a frozen clock."""
    if pytestconfig.getoption("--base-url"):
        pytest.skip("looks at the emulator's own process; not with --base-url")
    folder = tmp_path_factory.mktemp("server")
    (folder / "fixtures" / "datasets").mkdir(parents=True)
    with serving(folder, "--fixtures", str(folder / "fixtures")) as process:
        yield process


@pytest.fixture(scope="session")
def connections() -> Iterator[KeptConnections]:
    """Those to the session's server."""
    kept = KeptConnections(verify=False)
    yield kept
    kept.end()


@pytest.fixture
def api(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Api]:
    """A client of the session's server, which has forgotten everything before the test; or of the one at `--base-url`."""
    url = pytestconfig.getoption("--base-url")
    if url:
        foreign = Address.read(url, os.environ).client()
        yield foreign
        try:
            foreign.clean_up()
        finally:
            foreign.close()
    else:
        client = Api(request.getfixturevalue("server").url, connections=request.getfixturevalue("connections"))
        client.control("POST", "/reset", params={"exports": "true"})
        yield client
        client.close()


@pytest.fixture
def export_dir(server: ServerProcess) -> Path:
    """Where the session's server writes its files."""
    return server.export_dir


@pytest.fixture
def files(server: ServerProcess) -> Iterator[Path]:
    """The folder of the session's server for a user's dataset files, empty before and after."""
    folder = server.export_dir.parent / "fixtures" / "datasets"
    yield folder
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture
def run_report(capsys: pytest.CaptureFixture[str]) -> RunReport:
    """The command `report` in this process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main(["report", *map(str, arguments)])
        except SystemExit as exit:
            status = int(str(exit.code))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the test run ignores SIGINT, as what a shell starts in the background does, its children would as well."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
