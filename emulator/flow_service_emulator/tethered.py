"""The emulator as the child of a test run: it ends when its standard input does, whatever became of the parent.

`python -m flow_service_emulator.tethered serve …` takes what `flow-service-emulator` takes. The parent holds the other end of the pipe;
the system closes it when the parent ends, also when that is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

END_SECONDS = 5.0
"""How long the server may take to end in good order before it is ended anyway."""


def end_with_input() -> None:
    """Waits for the end of standard input, then asks this process to end, and makes sure that it does."""
    while os.read(0, 1024):  # past sys.stdin, whose lock would be in the way of an orderly exit
        pass
    signal.raise_signal(signal.SIGTERM)
    threading.Event().wait(END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_input, daemon=True).start()
    from flow_service_emulator.cli import main

    raise SystemExit(main(sys.argv[1:]))
