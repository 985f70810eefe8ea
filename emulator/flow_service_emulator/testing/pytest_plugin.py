"""The pytest plugin: `flow_service` gives each test a clean emulator, in a process of its own, without any configuration.

Loaded in every pytest run of an environment that has the package: so what takes long to import is imported when it is needed.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from flow_service_emulator.settings import proxy_of, read_settings, variables
from flow_service_emulator.testing import FlowService, FlowServiceError, FlowServiceServer
from flow_service_emulator.testing.flow_service import DEFAULT_ORG, DEFAULT_SANDBOX
from flow_service_emulator.testing.local_server import ServerPool, log_end, names

if TYPE_CHECKING:
    from flow_service_emulator.testing.session_report import SessionReport

MARK = "flow_service"
ISOLATIONS = ("org", "sandbox")
_USED = pytest.StashKey[FlowService]()
_REPORT: pytest.StashKey[SessionReport] = pytest.StashKey()
Options = dict[str, Any]
"""What a test asks for: by its mark, else by pytest.ini, else by default."""
_SEVERAL = (str, list, tuple, set)


class Option(NamedTuple):
    name: str
    ini: Literal["string", "bool", "args"] | None
    """Its type in pytest.ini, where it is `flow_service_<name>`; None where only a mark has it."""
    types: tuple[type, ...]
    """What a mark's argument of this name may be; none where only pytest.ini has it."""
    default: Any
    help: str = ""


OPTIONS = (
    Option("clock", "string", (str, int, float), "frozen", "how time goes on in each test: frozen, real, or a speed such as 3600"),
    Option("now", "string", (str, int, float, datetime, NoneType), "", "time that each test starts at: epoch seconds or 2026-01-01T00:00:00Z; empty is the present"),
    Option("seed", "string", (int, str, NoneType), "", "makes data, ids and file names the same in every run"),
    Option("fixtures", "string", (str, Path, NoneType), "", "folder with specs and datasets of your own, relative to the root folder"),
    Option("check_auth", "bool", (bool,), False, "accept only tokens of the token endpoint; flow_service.headers then has one"),
    Option("orgs", None, _SEVERAL, ()),
    Option("sandboxes", None, _SEVERAL, ()),
    Option("flags", "args", _SEVERAL, "", "further flags of `flow-service-emulator serve`"),
    Option("org", "string", (str,), DEFAULT_ORG, "organization of flow_service.headers"),
    Option("sandbox", "string", (str,), DEFAULT_SANDBOX, "sandbox of flow_service.headers"),
    Option("faults", None, (str, Mapping, list, tuple), ()),
    Option("report", "args", (bool,), "", "files for the contract report of the whole run: .html, .json, .xml (JUnit), .md or .txt"),
    Option("url", "string", (), "", "address of a running emulator to use, instead of starting one"),
    Option("isolation", "string", (), "org", "with a url: give each test its own `org` or its own `sandbox`"),
    Option("baseline", "string", (), "", "an earlier contract report (.json): what it has is left out, and fails nothing"),
    Option("fail_on", "string", (), "", "`violation` or `warning`: what in the contract report makes the run fail"),
)  # fmt: skip
_HELP = {option.name: option.help for option in OPTIONS}
_MARK_TYPES = {option.name: option.types for option in OPTIONS if option.types}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("flow-service", "Flow Service emulator")
    group.addoption("--flow-service-url", metavar="URL", help=_HELP["url"])
    group.addoption(
        "--flow-service-report", metavar="FILE", action="append", default=[], help=f"{_HELP['report']}; may be repeated"
    )
    group.addoption("--flow-service-fail-on", metavar="SEVERITY", help=_HELP["fail_on"])
    group.addoption("--flow-service-baseline", metavar="FILE", help=_HELP["baseline"])
    for option in OPTIONS:
        if option.ini:
            parser.addini(f"flow_service_{option.name}", option.help, type=option.ini, default=option.default)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARK}({', '.join(_MARK_TYPES)}): what this test's flow_service is to be like; all are optional."
    )
    isolation = config.getini("flow_service_isolation")
    if isolation not in ISOLATIONS:
        raise pytest.UsageError(f"flow_service_isolation must be one of {', '.join(ISOLATIONS)}, got {isolation!r}")
    files = [config.rootpath / name for name in config.getini("flow_service_report")]
    files += [config.invocation_params.dir / name for name in config.getoption("--flow-service-report")]
    fail_on = config.getoption("--flow-service-fail-on") or config.getini("flow_service_fail_on")
    if files or fail_on:
        from flow_service_emulator.testing.session_report import SessionReport

        known, named = config.getoption("--flow-service-baseline"), config.getini("flow_service_baseline")
        baseline = config.invocation_params.dir / known if known else config.rootpath / named if named else None
        config.stash[_REPORT] = SessionReport(config, files, fail_on, baseline)
        config.pluginmanager.register(config.stash[_REPORT], "flow-service-report")


def pytest_report_header(config: pytest.Config) -> str | None:
    url = _url(config)
    return f"flow service: {url} (shared)" if url else None


@pytest.fixture(scope="session")
def _flow_service_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    pool = ServerPool(tmp_path_factory.mktemp("flow-service"))
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="session")
def flow_service_server(request: pytest.FixtureRequest) -> FlowServiceServer:
    """The emulator that tests use: one process for the whole run (with pytest-xdist for each worker), or the one at
    `--flow-service-url`. Override it in conftest.py to use a server that you start yourself.
    """
    url = _url(request.config)
    if not url:
        return _started(request, _ini_options(request.config))
    server = FlowServiceServer(url.rstrip("/"), shared=True)
    with _told():
        FlowService(server).control("GET", "/health")
    return server


@pytest.fixture
def flow_service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowService]:
    """A clean emulator for this test: `url`, `headers`, `clock`, `exports`, `requests`, `faults`, `contract`, `datasets`."""
    config, node = request.config, request.node
    with _told():
        options = _options(node, config)
        start = _start(options)
        server = _server(request, options)
    org, sandbox = options["org"], options["sandbox"]
    if server.shared:  # one of the two is the test's own
        own = secrets.token_hex(12)
        by_org = config.getini("flow_service_isolation") == "org"
        org, sandbox = (f"{own.upper()}@AdobeOrg", sandbox) if by_org else (org, f"test-{own}")
    service = FlowService(
        server, org=org, sandbox=sandbox, downloads=lambda: tmp_path_factory.mktemp("flow-service-files")
    )
    with _told():
        service.reset(start)
        if options["check_auth"]:
            service.fetch_token()
            service.reset(start)  # the journal is the test's alone
        faults = options["faults"]
        if faults:
            service.faults.set(*(faults if isinstance(faults, (list, tuple)) else (faults,)))
    node.stash[_USED] = service
    if options["report"] and _REPORT in config.stash:
        service.before_reset = partial(config.stash[_REPORT].take, service, node.nodeid)
    yield service
    with _told():
        unmatched = service.faults.unmatched
    if service.before_reset is not None:
        service.before_reset()
    with _told():
        service.close()
    for name in unmatched:
        node.warn(pytest.PytestWarning(f"flow_service: the fault {name} never matched a request or a run"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the test's requests to the report of a failure, with the reason why each bad one was refused."""
    report = yield
    service = item.stash.get(_USED, None)
    if service is not None and report.failed:
        try:
            told = service.requests.text()
            proxy = proxy_of(service.url)
            if proxy and not service.requests:
                told += f"\nHTTP_PROXY sends them to {proxy}, unless the client ignores it; NO_PROXY=127.0.0.1,localhost prevents it."
        except FlowServiceError as failure:
            told = f"They cannot be told: {failure}"
            if service.server.log is not None:
                told += f"\nIts log ends:\n{log_end(service.server.log)}"
        report.sections.append(("Flow Service requests", told))
    return report


def _url(config: pytest.Config) -> str:
    """The address of the server to use; empty to start one."""
    return str(config.getoption("--flow-service-url") or config.getini("flow_service_url"))


def _ini_options(config: pytest.Config) -> Options:
    options = {option.name: option.default for option in OPTIONS if option.types}
    read = {option.name: config.getini(f"flow_service_{option.name}") for option in OPTIONS if option.ini}
    return {**options, **{name: read[name] for name in read.keys() & options.keys()}, "report": True}


def _options(item: pytest.Item, config: pytest.Config) -> Options:
    """The options of a test; of several marks the closest decides on each argument. Raises ValueError."""
    given: Options = {}
    for mark in item.iter_markers(MARK):
        if mark.args:
            raise ValueError(f"the mark takes arguments by name only, got {mark.args[0]!r}")
        given = {**mark.kwargs, **given}
    for name, value in given.items():
        if name not in _MARK_TYPES:
            raise ValueError(f"the mark has no argument {name!r}; it has {', '.join(_MARK_TYPES)}")
        if not isinstance(value, _MARK_TYPES[name]):
            types = ", ".join(type_.__name__ for type_ in _MARK_TYPES[name])
            raise ValueError(f"{name} must be of type {types}; got {value!r}")
    options = {**_ini_options(config), **given}
    # who names neither wants one that exists; who names one that does not, wants to see it refused
    for name, several in (("org", "orgs"), ("sandbox", "sandboxes")):
        existing = names(options[several])
        if name not in given and options[several] and options[name] not in existing:
            options[name] = existing[0]
    return options


def _start(options: Options) -> dict[str, Any]:
    """The clock at a test's beginning, as `FlowService.reset` takes it. Raises ValueError."""
    clock, now = options["clock"], options["now"]
    now = None if now is None else str(float(now) if isinstance(now, int) else now)
    wanted = read_settings({"clock": str(clock), "now": now}, {})
    fixed = clock in ("frozen", "real")
    start = {"mode": clock} if fixed else {"mode": "accelerated", "speed": float(clock)}
    return start if wanted.now is None else {**start, "now": wanted.now}


def _server(request: pytest.FixtureRequest, options: Options) -> FlowServiceServer:
    """The session's server, or one of its own for a test whose mark needs other settings."""
    config, url = request.config, _url(request.config)
    special = _how(options, config) != _how(_ini_options(config), config)
    if url and (special or options["now"] or options["clock"] != "frozen"):
        pytest.skip(f"needs a server of its own, and all tests share the one at {url}")
    if special:
        return _started(request, options)
    server: FlowServiceServer = request.getfixturevalue("flow_service_server")
    return server


def _how(options: Options, config: pytest.Config) -> tuple[list[str], dict[str, str]]:
    """The flags and variables that a server with these options is started with."""
    flags = shlex.split(options["flags"]) if isinstance(options["flags"], str) else list(map(str, options["flags"]))
    settings = {name: options[name] for name in ("seed", "check_auth", "orgs", "sandboxes")}
    fixtures = config.rootpath / options["fixtures"] if options["fixtures"] else None
    return flags, variables({**settings, "fixtures": fixtures, "clock": "frozen"})


def _started(request: pytest.FixtureRequest, options: Options) -> FlowServiceServer:
    pool: ServerPool = request.getfixturevalue("_flow_service_pool")
    with _told():
        return pool.server(*_how(options, request.config))


@contextmanager
def _told() -> Iterator[None]:
    """Fails the test with the reason alone: a traceback through this plugin tells its user nothing."""
    try:
        yield
    except (FlowServiceError, ValueError, TypeError) as failure:
        raise pytest.fail.Exception(f"flow_service: {failure}", pytrace=False) from None
