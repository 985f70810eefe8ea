"""uvicorn as the emulator runs it: a socket that is open before it says so, logs on standard error, a quick end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import re
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flow_service_emulator.api.middleware import request_log
from flow_service_emulator.app import create_app
from flow_service_emulator.clock import Clock, machine_time
from flow_service_emulator.emulator import Emulator
from flow_service_emulator.exports.exported_files import ExportFolderError
from flow_service_emulator.fixture_files import FixtureError
from flow_service_emulator.settings import Settings, flag_name, variable_name, variables_of_kubernetes
from flow_service_emulator.store.store import StoreError

log = logging.getLogger("emulator.server")
BACKLOG: Final = 2048
KEEP_ALIVE_SECONDS: Final = 65
"""How long an idle connection stays open: longer than clients commonly keep theirs, so that none is closed under a request."""
TLS_HELLO: Final = b"\x16\x03"


class _Joined:
    """A transport that sends an answer's head together with its body, which uvicorn writes apart.

    A system call less for each request: a look-up takes 7 % less CPU time, and there are 9 % more of them a second.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self.is_closing = transport.is_closing
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._head = data
            self._loop.call_soon(self._flush)  # where no body follows
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head:
            self.write(b"")


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also says what is no HTTP, and ignores offers of another protocol (RFC 9110, section 7.8).

    Java's HttpClient offers HTTP/2 with every request, and uvicorn drops the bodies of those, as its parser waits for what was
    offered: https://github.com/Kludex/uvicorn/issues/2722.
    """

    _reading_on = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Joined(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._read_on(data[offer.args[0] :])
        except httptools.HttpParserError:
            told = "Invalid HTTP request received."
            if data.startswith(TLS_HELLO):
                told = "This is TLS, but the server speaks plain HTTP: the address must begin with http:// instead of https://."
            elif not (line := data.partition(b"\n")[0]).isascii() and b" HTTP/" in line:
                told = "Invalid HTTP request received: in the path and query, other characters than ASCII must be percent-encoded."
            log.warning("%s", told)
            self.send_400_response(told)

    def on_headers_complete(self) -> None:
        if not self._reading_on:
            super().on_headers_complete()

    def _read_on(self, rest: bytes) -> None:
        """Read on with a new parser that gets the same head without the offer. The request has begun already."""
        headers = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.cycle.more_body = self._reading_on = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % headers)
        self._reading_on = False
        if rest:
            self.data_received(rest)


class Server(uvicorn.Server):
    """Prints where it listens once it accepts requests, and ends exports when it is told to end."""

    def __init__(self, app: Emulator, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app.app,
            loop="asyncio",
            http=HttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            backlog=BACKLOG,
        )
        super().__init__(config)
        self._emulator = app
        self._listener = listener
        self._looking: asyncio.Task[None] | None = None
        """Kept so that it is not collected as garbage before it is done."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit:
            return
        print(f"listening on {url_of(self._listener)}", flush=True)
        log.info("the dashboard is at %s/__emulator/", url_of(self._listener))  # standard output has one line only
        self._looking = asyncio.create_task(self._emulator.look_at_files())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in good order on a signal; the process then exits with status 0, unlike uvicorn's own."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._end)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._end))
        yield

    def _end(self) -> None:
        self._emulator.stop()
        self.should_exit = True


def serve(settings: Settings, fail: Callable[[str], int]) -> int:
    """Open the data and export folders, listen and serve. Return the exit status; `fail` reports what stops it."""
    handler = set_up_logging(settings.log_format)
    if ignored := variables_of_kubernetes():
        log.info("ignored, as Kubernetes sets them for a Service of this name: %s", ", ".join(ignored))
    clock = Clock.from_setting(settings.clock, settings.now)
    try:
        listener = open_socket(settings.host, settings.port)
    except OSError as reason:
        advice = (
            f"; {flag_name('port')} or {variable_name('port')} names another"
            if reason.errno == errno.EADDRINUSE
            else ""
        )
        return fail(f"cannot listen on {settings.host}:{settings.port}: {reason.strerror or reason}{advice}")
    with listener:
        try:
            app = create_app(settings, clock, handler.request)
        except (FixtureError, StoreError, ExportFolderError, OSError) as reason:
            return fail(str(reason))
        Server(app, listener).run([listener])
    return 0


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches TCP_NODELAY on only where the protocol is spelled out; without it, each answer waits 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two servers have the same port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """`http://HOST:PORT` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def set_up_logging(form: str) -> LogHandler:
    """Logs go to standard error, as text or as JSON lines."""
    handler = LogHandler(sys.stderr, form)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return handler


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop together: a system call for each took a quarter of a look-up's time."""

    def __init__(self, stream: TextIO, form: str) -> None:
        super().__init__(stream)
        self._line = _json_line if form == "json" else _text_line
        self._lines: list[str] = []

    def request(self, level: int, told: str) -> None:
        """Write of a request. As a record that logging makes and hands on, it took a fifth of a look-up's time."""
        line = self._line(machine_time(), logging.getLevelName(level), request_log.name, told, "")
        with self.lock or contextlib.nullcontext():
            self._write(line)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else ""
            self._write(self._line(record.created, record.levelname, record.name, record.getMessage(), trace))
        except Exception:
            self.handleError(record)

    def _write(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # before and after there is a loop, and in other threads
                self.flush()

    def flush(self) -> None:
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            with contextlib.suppress(OSError, ValueError):  # nobody reads the log any more
                self.stream.write("".join(f"{line}\n" for line in lines))
                self.stream.flush()


def _text_line(at: float, level: str, logger: str, told: str, trace: str) -> str:
    """One line, with a traceback's own lines below. What controls a terminal is spelt out: no request can write a line."""
    line = f"{datetime.fromtimestamp(at).isoformat(' ', 'milliseconds')} {level} {told}"
    lines = [line, *trace.split("\n")] if trace else [line]
    return "\n".join(each if each.isprintable() else re.sub(r"(?s).", _spelt_out, each) for each in lines)


def _spelt_out(found: re.Match[str]) -> str:
    char = found[0]
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _json_line(at: float, level: str, logger: str, told: str, trace: str) -> str:
    """One line of ASCII, whatever is told."""
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    entry = {"time": time, "level": level, "logger": logger, "message": told, **({"exception": trace} if trace else {})}
    return json.dumps(entry)
