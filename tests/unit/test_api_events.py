from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api import streams
from gateway.core.errors import TryLater
from gateway.core.facts import FactKind
from gateway.guard.journal import Journal as GuardJournal
from gateway.guard.journal_entry import Entry
from gateway.link.journal import journal_path
from gateway.serve.events import Wanted
from gateway.serve.tokens import Role
from tests.support.journal import draft
from tests.support.serving import Served, serving


async def _write(served: Served, folder: Path, *facts: tuple[str, FactKind]) -> None:
    journal = GuardJournal(journal_path(folder))
    journal.start()
    for outlet, kind in facts:
        await journal.put(Entry((draft(outlet, kind),))).durable()
    await journal.close()
    await served.whole.taker.take_over()


SOME = (
    ("n1-1", FactKind.OUTLET_ON),
    ("n1-2", FactKind.OUTLET_ON),
    ("n1-1", FactKind.OUTLET_CUT),
    ("n1-1", FactKind.LEASE_ENDED),
)


async def _get(served: Served, path: str, status: int = 200) -> Any:
    async with served.client(Role.VIEWER) as client:
        response = await client.get(path)
        assert response.status_code == status, response.text
        return response.json()


def test_events_come_in_order_and_in_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            assert (await _get(served, "/v1/events")) == {
                "events": [],
                "next": 0,
                "first_position": 0,
                "last_position": 0,
            }
            await _write(served, tmp_path, *SOME)
            first = await _get(served, "/v1/events?limit=3")
            assert [event["position"] for event in first["events"]] == [1, 2, 3]
            assert (first["next"], first["first_position"], first["last_position"]) == (3, 1, 4)
            rest = await _get(served, "/v1/events?after=3")
            assert [event["kind"] for event in rest["events"]] == ["lease.ended"]
            assert (await _get(served, "/v1/events?after=4"))["next"] == 4

    asyncio.run(main())


def test_a_position_that_no_event_has_had_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served, served.client(Role.VIEWER) as client:
            await _write(served, tmp_path, *SOME)
            for path in ("/v1/events?after=5", "/v1/events/stream?after=5"):
                assert (await _get(served, path, 409))["code"] == "position_ahead"
            ahead = await client.get("/v1/events/stream", headers={"Last-Event-ID": "5"})
            assert (ahead.status_code, ahead.json()["code"]) == (409, "position_ahead")

    asyncio.run(main())


def test_events_are_filtered(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            await _write(served, tmp_path, *SOME)
            found = await _get(served, "/v1/events?kind=outlet.on&kind=outlet.cut&outlet=n1-1")
            assert [event["position"] for event in found["events"]] == [1, 3]
            assert found["next"] == 4
            for wrong in ("kind=outlet.flew", "after=-1", "after=x", "outlet=N", "aftr=1"):
                await _get(served, f"/v1/events?{wrong}", 422)

    asyncio.run(main())


class Listener:
    """The client's end of a stream: takes pieces until told to go."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.status = 0
        self.more = asyncio.Event()
        self.gone = asyncio.Event()
        self._has_asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.pieces.append(message["body"])
            self.more.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(30):
            while text not in b"".join(self.pieces):
                self.more.clear()
                await self.more.wait()


def _listen(
    served: Served, query: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[Listener, asyncio.Task[None]]:
    listener = Listener()
    token = served.tokens[Role.VIEWER].encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/v1/events/stream",
        "raw_path": b"/v1/events/stream",
        "query_string": query,
        "root_path": "",
        "scheme": "http",
        "server": ("s", 1),
        "client": ("c", 1),
        "headers": [(b"authorization", b"Bearer " + token), *headers],
    }

    async def run() -> None:
        async def send(message: Any) -> None:
            await listener.send(message)  # as it is by then

        await served.whole.app(scope, listener.receive, send)

    return listener, asyncio.create_task(run())


async def _leave(listener: Listener, task: asyncio.Task[None]) -> None:
    listener.gone.set()
    async with asyncio.timeout(30):
        await task


def test_a_stream_gives_what_comes_and_is_resumed_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            await _write(served, tmp_path, *SOME[:2])
            listener, task = _listen(served)
            await listener.until(b"retry: 2000\n\n")
            await _write(served, tmp_path, SOME[2])
            await listener.until(b"id: 3\n")
            text = b"".join(listener.pieces)
            assert b"id: 1\n" not in text
            assert b'id: 3\nevent: outlet.cut\ndata: {"position":3,' in text
            await _leave(listener, task)

            await _write(served, tmp_path, SOME[3])
            again, task = _listen(served, b"after=0", [(b"last-event-id", b"2")])
            await again.until(b"id: 4\n")
            assert b"".join(again.pieces).count(b"\nid: ") == 2
            await _leave(again, task)
            assert served.whole.services.streams.open == 0

    asyncio.run(main())


def test_a_stream_reads_from_the_database_what_memory_no_longer_holds(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            await _write(served, tmp_path, *SOME)
            served.whole.feed._kept.clear()
            listener, task = _listen(served, b"after=0&kind=outlet.on")
            await listener.until(b"id: 2\n")
            await _write(served, tmp_path, SOME[0])
            await listener.until(b"id: 5\n")
            assert b"id: 3\n" not in b"".join(listener.pieces)
            await _leave(listener, task)

    asyncio.run(main())


def test_a_quiet_stream_says_that_it_is_there(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)

    async def main() -> None:
        async with serving(tmp_path) as served:
            listener, task = _listen(served)
            await listener.until(b": still here\n\n: still here\n\n")
            await _leave(listener, task)

    asyncio.run(main())


def test_streams_end_in_time_and_when_the_process_stops(tmp_path: Path, monkeypatch: Any) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            listener, task = _listen(served)
            await listener.until(b"retry")
            served.whole.feed.close()
            async with asyncio.timeout(30):
                await task
            assert served.whole.services.streams.open == 0

        monkeypatch.setattr(streams, "LONGEST_S", 0.05)
        other = tmp_path / "other"
        other.mkdir()
        async with serving(other) as served:
            _, task = _listen(served)
            async with asyncio.timeout(30):
                await task

    asyncio.run(main())


def test_a_stream_ends_with_its_token(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)

    async def main() -> None:
        async with serving(tmp_path) as served:
            listener, task = _listen(served)
            await listener.until(b"still here")
            await served.whole.tokens.revoke(Role.VIEWER.value)
            async with asyncio.timeout(10):
                await task
            assert not listener.gone.is_set()
            assert served.whole.services.streams.open == 0

    asyncio.run(main())


def test_a_busy_stream_ends_with_its_token(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "ALLOWED_S", 0.0)

    async def main() -> None:
        async with serving(tmp_path) as served:
            listener, task = _listen(served)
            await listener.until(b"retry")
            await served.whole.tokens.revoke(Role.VIEWER.value)
            await _write(served, tmp_path, *SOME)
            async with asyncio.timeout(10):
                await task
            await _write(served, tmp_path, *SOME)
            assert b"id: 5" not in b"".join(listener.pieces)

    asyncio.run(main())


def test_a_stream_ends_quietly_when_the_database_does_not_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            await _write(served, tmp_path, *SOME)
            caller = await served.whole.tokens.caller(served.tokens[Role.VIEWER])
            assert caller is not None
            served.whole.feed._kept.clear()

            def fails() -> None:
                raise TryLater("the database is locked")

            served.database.reading = fails  # type: ignore[method-assign, assignment]
            listener, task = _listen(served, b"after=0")
            async with asyncio.timeout(10):
                await task
            assert b"".join(listener.pieces) == b"retry: 2000\n\n"

    asyncio.run(main())


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "SEND_WITHIN_S", 0.05)

    async def main() -> None:
        async with serving(tmp_path) as served:
            listener, task = _listen(served)
            await listener.until(b"retry")

            async def stuck(message: Any) -> None:
                if message.get("more_body"):
                    await asyncio.Event().wait()

            listener.send = stuck  # type: ignore[method-assign]
            await _write(served, tmp_path, SOME[0])
            async with asyncio.timeout(30):
                await task
            assert served.whole.services.streams.open == 0

            async def always() -> bool:
                return True

            stopped = Listener()
            stopped.send = stuck  # type: ignore[method-assign]
            response = streams.EventStream(
                database=served.database,
                feed=served.whole.feed,
                wanted=Wanted(),
                after=0,
                streams=served.whole.services.streams,
                allowed=always,
            )
            async with asyncio.timeout(30):
                await response({"type": "http"}, stopped.receive, stopped.send)

    asyncio.run(main())


def test_streams_are_bounded_also_when_they_come_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS", 2)

    async def main() -> None:
        async with serving(tmp_path) as served:
            opened = [_listen(served) for _ in range(6)]
            async with asyncio.timeout(10):
                while any(not listener.status for listener, _ in opened):
                    await asyncio.sleep(0.01)
            assert sorted(listener.status for listener, _ in opened) == [200] * 2 + [503] * 4
            for listener, task in opened:
                await _leave(listener, task)
            assert served.whole.services.streams.open == 0

    asyncio.run(main())


def test_wrong_resumptions_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served, served.client(Role.VIEWER) as client:
            for wrong in ("x", "-1", "9" * 30, ""):
                response = await client.get("/v1/events/stream", headers={"Last-Event-ID": wrong})
                assert response.status_code == 422
                assert response.json()["errors"][0]["field"] == "Last-Event-ID"

    asyncio.run(main())
