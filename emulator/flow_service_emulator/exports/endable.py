"""Waiting for something that can be ended from elsewhere, without the one who waits being cancelled himself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Endable:
    """Waits for one thing at a time."""

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None

    async def wait(self, work: Awaitable[object]) -> bool:
        """Waits for `work`; answers whether it came to its end. Raises what it raises, but no TimeoutError."""
        try:
            async with asyncio.timeout(None) as self._limit:  # no limit, until `end` sets one
                await work
        except TimeoutError:
            return False
        finally:
            self._limit = None
        return True

    def end(self) -> None:
        """Cancels what is waited for, if anything is."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)  # an instant that is over
