"""`python -m contract_tests.bench.files_passed`: how many of the package's files and functions one `POST /targetConnections` passes.

The server runs in this process as users start it, with a profiler on; the third of three such requests is counted.
"""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from contract_tests.support import Api
from contract_tests.tutorial import S3


def counted() -> Counter[str]:
    """How many functions of each file were called, by the file's path in the package."""
    import flow_service_emulator
    from flow_service_emulator.cli import main

    package = Path(flow_service_emulator.__file__).parent
    called: set[CodeType] = set()
    failed: list[BaseException] = []
    on = threading.Event()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and on.is_set() and code.co_filename.startswith(str(package)) and code.co_name[0] != "<":
            called.add(code)

    def client(said: _Address) -> None:
        try:
            api = Api(said.address())
            base = api.created("connections", S3.base_connection())
            for number in range(3):
                if number == 2:
                    on.set()
                api.created("targetConnections", S3.target_connection(base, path=f"folder/{number}"))
            time.sleep(0.3)  # what is done of it after the answer is counted as well
            on.clear()
            api.close()
        except BaseException as reason:
            failed.append(reason)
        signal.raise_signal(signal.SIGINT)

    said = _Address()
    threading.Thread(target=client, args=(said,)).start()
    threading.setprofile(profile)
    sys.setprofile(profile)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main(["serve", "--port", "0", "--clock", "frozen", "--export-dir", folder])
    sys.setprofile(None)
    threading.setprofile(None)
    if failed:
        raise failed[0]
    return Counter(str(Path(code.co_filename).relative_to(package)) for code in called)


class _Address(io.StringIO):
    """Standard output, until the server has said where it listens."""

    def __init__(self) -> None:
        super().__init__()
        self._said = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if "\n" in self.getvalue():
            self._said.set()
        return written

    def address(self) -> str:
        assert self._said.wait(30)
        return self.getvalue().split()[-1]


if __name__ == "__main__":
    found = counted()
    for path, functions in sorted(found.items()):
        print(f"{functions:5} {path}")
    print(f"{len(found)} files, {sum(found.values())} functions")
