"""Many clients at once: no lost update, no torn read, advances one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from contract_tests.support import Api
from contract_tests.tutorial import S3, SOURCE_CONNECTION

CLIENTS, TIMES = 8, 12


def test_a_crowd_loses_nothing(api: Api) -> None:
    """All add one to the same number, with its etag, until they have; meanwhile two move the clock on over a flow's exports."""
    shared = (
        f"/sourceConnections/{api.created('sourceConnections', {**SOURCE_CONNECTION, 'name': '0', 'description': '0'})}"
    )
    start = api.control("GET", "/clock")["now"]
    api.flow(S3, {"interval": 3, "timeUnit": "hour", "startTime": start + 10_800})
    conflicts = []

    def add(client: Api) -> None:
        done = 0
        while done < TIMES:
            item = client.item(shared)
            assert item["name"] == item["description"] and item["etag"] == item["version"], "torn"
            value = str(int(item["name"]) + 1)
            change = [{"op": "replace", "path": f"/{field}", "value": value} for field in ("name", "description")]
            answer = client.patch(shared, item["etag"], change)
            assert answer.status_code in (200, 412), answer.text
            done += answer.status_code == 200
            if answer.status_code == 412:
                conflicts.append(value)

    def advance(client: Api) -> list[str]:
        return [run["id"] for _ in range(4) for run in client.advance(10_800)]

    clients = [Api(api.url) for _ in range(CLIENTS + 2)]
    with ThreadPoolExecutor(len(clients)) as pool:
        runs = [pool.submit(advance, client) for client in clients[:2]]
        for done in [pool.submit(add, client) for client in clients[2:]]:
            done.result()
        told = [run for each in runs for run in each.result()]
    for client in clients:
        client.close()
    assert api.item(shared)["name"] == str(CLIENTS * TIMES)
    assert conflicts, "nobody got in another's way"
    assert api.control("GET", "/clock")["now"] == start + 8 * 10_800
    assert len(told) == len(set(told)) == 8
