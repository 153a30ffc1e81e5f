"""A guard for tests of serve: the real messages and the real journal, and no outlets behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.config import Site
from gateway.core.clock import SystemClock
from gateway.core.errors import PilegateError, Refused
from gateway.core.facts import Fact, FactDraft, FactKind
from gateway.core.ids import uuid7
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry
from gateway.link.address import socket_path
from gateway.link.journal import JournalReader, journal_path
from gateway.link.messages import OutletState, OutletView, fact_to_json
from gateway.link.rpc import answer_line, dump, error_line, notice_line, parse_request

Params = dict[str, Any]


@dataclass
class FakeGuard:
    """Answers on the socket; ``answers`` replaces what a method does."""

    site: Site
    state_dir: Path
    shows_on: bool = True
    """Whether a sample shows an outlet on after it was leased."""
    shows_off: bool = True
    calls: list[tuple[str, Params]] = field(default_factory=list)
    answers: dict[str, Callable[[Params], Any]] = field(default_factory=dict)
    views: dict[str, OutletView] = field(default_factory=dict)
    _followers: list[asyncio.StreamWriter] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.journal = Journal(journal_path(self.state_dir))
        for outlet in self.site.outlets:
            self.views[outlet.id] = OutletView(
                outlet=outlet.id,
                name=outlet.name,
                pile=outlet.pile,
                station=outlet.station,
                state=OutletState.OFF,
                relay_on=False,
                voltage_v=230.0,
                current_a=0.0,
                power_w=0.0,
                sample_utc_ms=1_790_000_000_000,
                sample_age_ms=12,
                stale=False,
                device_state="online",
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeGuard]:
        path = socket_path(self.state_dir)
        path.unlink(missing_ok=True)
        self.journal.start()
        self.journal.subscribe(self._send_facts)
        server = await asyncio.start_unix_server(self._serve, path)
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await server.wait_closed()
            path.unlink(missing_ok=True)
            self.journal.unsubscribe(self._send_facts)
            await self.journal.close()

    def called(self, method: str) -> list[Params]:
        return [params for name, params in self.calls if name == method]

    async def fact(self, kind: FactKind, outlet: str, reason: str = "", **data: Any) -> None:
        """Write a fact about an outlet and wait until it is durable."""
        await self._write(kind, f"outlet/{outlet}", reason, {"outlet": outlet, **data})

    async def started(self) -> None:
        await self._write(FactKind.GUARD_STARTED, "guard", "", {"version": "0", "interrupted": []})

    def show(self, outlet: str, **changes: Any) -> None:
        """Change how an outlet looks, and tell whoever follows."""
        self.views[outlet] = replace(self.views[outlet], **changes)
        self._notify("outlets", {"outlets": [self.views[outlet].to_json()]})

    async def _write(self, kind: FactKind, subject: str, reason: str, data: Params) -> None:
        now = self.clock.now()
        draft = FactDraft(kind, subject, now.utc_ms, now.quality, "guard", reason, data)
        await self.journal.put(Entry((draft,))).durable()

    def _send_facts(self, facts: Any) -> None:
        for fact in facts:
            assert isinstance(fact, Fact)
            self._notify("fact", fact_to_json(fact))

    def _notify(self, method: str, params: Params) -> None:
        for writer in self._followers:
            writer.write(notice_line(method, dump(params)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            # who goes away in the middle of a line is done
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with asyncio.TaskGroup() as tasks:
                    while line := await reader.readline():
                        request = parse_request(line.rstrip(b"\n"))
                        tasks.create_task(
                            self._answer(writer, request.id, request.method, request.params)
                        )
        finally:
            self._writers.discard(writer)
            if writer in self._followers:
                self._followers.remove(writer)
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, request_id: Any, method: str, params: Any
    ) -> None:
        self.calls.append((method, params))
        try:
            if method in self.answers:
                result = self.answers[method](params)
                if asyncio.iscoroutine(result):
                    result = await result
            else:
                result = await getattr(self, f"_{method}")(params)
        except PilegateError as err:
            writer.write(error_line(request_id, err))
            return
        if result is None:
            return  # an answer that never comes
        writer.write(answer_line(request_id, json.dumps(result).encode()))
        if method == "follow":
            self._follow_on(writer, params)

    def _follow_on(self, writer: asyncio.StreamWriter, params: Params) -> None:
        self._followers.append(writer)
        with JournalReader(journal_path(self.state_dir)) as reader:
            after = params.get("facts_after", reader.last_seq())
            for fact in reader.facts_after(after):
                writer.write(notice_line("fact", dump(fact_to_json(fact))))
        views = list(self.views.values())
        for start in range(0, len(views), 200):
            rows = [view.to_json() for view in views[start : start + 200]]
            writer.write(notice_line("outlets", dump({"outlets": rows})))

    async def _hello(self, _: Params) -> Params:
        return {
            "version": "9.9",
            "site": self.site.id,
            "boot_id": "b",
            "pid": 1,
            "seq": self.journal.last_seq,
        }

    async def _follow(self, _: Params) -> Params:
        return {"seq": self.journal.last_seq}

    async def _metrics(self, _: Params) -> Params:
        return {"text": "pilegate_guard_samples_total 7\n"}

    async def _buses(self, _: Params) -> Params:
        bus = {
            "bus": "net1",
            "kind": "modbus-tcp",
            "state": "open",
            "detail": "",
            "utilisation": 0.2,
            "cycle_ms": 40.0,
            "requests": 3,
            "timeouts": 0,
            "errors": {},
        }
        return {"buses": [bus], "devices": []}

    async def _interlocks(self, _: Params) -> Params:
        interlock = {
            "interlock": "smoke",
            "name": "Smoke",
            "watches": "smoke",
            "state": "tripped",
            "cause": "input",
            "since_utc_ms": 1_790_000_000_000,
            "outlets": 10,
            "circuits": ["north"],
        }
        return {"interlocks": [interlock]}

    async def _circuits(self, _: Params) -> Params:
        circuit = {
            "circuit": "north",
            "name": "North gate",
            "parent": None,
            "state": "full",
            "power_w": 900.0,
            "current_a": 3.9,
            "counted_w": 1000.0,
            "counted_a": 4.3,
            "limit_w": 1000.0,
            "limit_a": None,
            "known_by": "meter",
            "running": 3,
            "waiting": ["n1-1"],
            "contactor": "closed",
            "opened_reason": None,
            "opened_utc_ms": None,
        }
        return {"circuits": [circuit]}

    async def _on(self, params: Params) -> Params:
        outlet, request_id = params["outlet"], params["request_id"]
        view = self.views[outlet]
        if view.latch is not None:
            raise Refused(f"{outlet}: cut off", code="latched")
        now = self.clock.now()
        lease_id = str(uuid7(now.utc_ms))
        until_utc_ms = now.utc_ms + round(params["for_s"] * 1000)
        ids = {"lease_id": lease_id, "request_id": request_id}
        await self.fact(FactKind.LEASE_STARTED, outlet, **ids, until_utc_ms=until_utc_ms)
        if self.shows_on:
            asyncio.get_running_loop().call_later(
                0.02, self._later, FactKind.OUTLET_ON, outlet, ids
            )
            self.show(outlet, state=OutletState.ON, relay_on=True)
        return {"until_utc_ms": until_utc_ms, **ids, "duplicate": False}

    async def _off(self, params: Params) -> Params:
        target = params["target"]
        rows = []
        for outlet in self.site.outlets_of(target["kind"], target["id"]):
            if self.views[outlet.id].state is OutletState.OFF:
                rows.append({"outlet": outlet.id, "result": "nothing_to_do"})
                continue
            rows.append({"outlet": outlet.id, "result": "done"})
            if self.shows_off:
                self.show(outlet.id, state=OutletState.OFF, relay_on=False)
                ids = {"request_id": params.get("request_id")}
                loop = asyncio.get_running_loop()
                loop.call_later(0.02, self._later, FactKind.OUTLET_OFF, outlet.id, ids)
        return {"outlets": rows}

    async def _all_done(self, params: Params) -> Params:
        target = params["target"]
        outlets = self.site.outlets_of(target["kind"], target["id"])
        return {"outlets": [{"outlet": outlet.id, "result": "done"} for outlet in outlets]}

    _reset = _lock = _unlock = _all_done

    def _later(self, kind: FactKind, outlet: str, data: Params) -> None:
        now = self.clock.now()
        draft = FactDraft(
            kind,
            f"outlet/{outlet}",
            now.utc_ms,
            now.quality,
            "guard",
            "",
            {"outlet": outlet, **data},
        )
        with contextlib.suppress(PilegateError):
            self.journal.put(Entry((draft,)))
