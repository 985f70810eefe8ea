"""A list that must look at very many entities does not keep other requests waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from contract_tests.in_process import LocalEmulator
from contract_tests.tutorial import BASE, S3
from flow_service_emulator.service.service import LONG_LIST
from flow_service_emulator.settings import Settings


async def filled(emulator: LocalEmulator, count: int) -> tuple[str, list[dict[str, Any]]]:
    """Gives the emulator a connection, and `count` more from a snapshot. Answers the first one's id, and the others."""
    first = await emulator.created("connections", S3.base_connection())
    state = await emulator.control("GET", "/state")
    (name,) = (name for name in state["store"]["tables"] if name.startswith("connections/"))
    ((seq, entity),) = state["store"]["tables"][name].items()
    others = [
        {**entity, "id": f"00000000-0000-4000-8000-{n:012}", "createdBy": f"user {n * 7919 % count:06}"}
        for n in range(count)
    ]
    state["store"]["tables"][name] |= {str(int(seq) + n): other for n, other in enumerate(others, start=1)}
    state["store"]["nextSeq"] = int(seq) + count + 1
    await emulator.control("PUT", "/state", state)
    return first, others


def test_others_are_answered_while_a_long_list_is_looked_through(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LocalEmulator(Settings(export_dir=tmp_path)) as emulator:
            first, others = await filled(emulator, 20 * LONG_LIST)
            answered: list[str] = []

            async def ask(path: str, what: str) -> list[dict[str, Any]]:
                response = await emulator.http.get(f"{BASE}/connections{path}")
                assert response.status_code == 200, response.text
                answered.append(what)
                items: list[dict[str, Any]] = response.json()["items"]
                return items

            users = sorted((other["createdBy"] for other in others), reverse=True)
            for query, expected in (("orderby=-createdBy&limit=5", users[:5]), ("property=createdBy==nobody", [])):
                answered.clear()
                items, *_ = await asyncio.gather(
                    ask(f"?{query}", "list"), *(ask(f"/{first}", "look-up") for _ in range(20))
                )
                assert answered == ["look-up"] * 20 + ["list"]
                assert [item["createdBy"] for item in items] == expected

    asyncio.run(scenario())
