"""A guard's socket over a service that only remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from gateway.core.errors import NotKnown, Refused
from gateway.guard.control import ControlServer
from gateway.guard.journal import Journal
from gateway.link.circuits import CircuitState, CircuitView, ContactorWord
from gateway.link.interlocks import InterlockView
from gateway.link.journal import journal_path
from gateway.link.messages import (
    BusView,
    DeviceView,
    Outcome,
    OutletState,
    OutletView,
)
from gateway.link.requests import (
    BusesAnswer,
    CircuitsAnswer,
    HelloAnswer,
    InterlocksAnswer,
    LimitsRequest,
    OnAnswer,
    OnRequest,
    RenewAnswer,
    RenewRequest,
    SnapshotPage,
    SnapshotRequest,
    TargetRequest,
    Verdict,
)

ON: dict[str, Any] = {"outlet": "o0000", "for_s": 60, "actor": "ann", "reason": "test"}


def view(outlet: str, **fields: Any) -> OutletView:
    plain = OutletView(
        outlet=outlet, name=outlet, pile="n1", station="north", state=OutletState.OFF
    )
    return replace(plain, **fields)


@dataclass
class RememberingService:
    """Answers every method, and keeps what it was asked."""

    outlets: dict[str, OutletView] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)
    dirty: list[str] = field(default_factory=list)
    largest_slice: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, ``on`` waits: for the disk, as it were."""

    @classmethod
    def of(cls, count: int) -> RememberingService:
        names = [f"o{k:04}" for k in range(count)]
        return cls(outlets={name: view(name) for name in names})

    def change(self, name: str, **fields: Any) -> None:
        self.outlets[name] = replace(self.outlets[name], **fields)
        self.dirty.append(name)

    def hello(self) -> HelloAnswer:
        return HelloAnswer(version="1", site="demo", boot_id="b", pid=1, seq=0)

    async def on(self, request: OnRequest) -> OnAnswer:
        self.asked.append(request)
        await self.gate.wait()
        if request.outlet == "faulty":
            raise ZeroDivisionError("a fault of the guard")
        if request.outlet not in self.outlets:
            raise NotKnown(f"no outlet {request.outlet}")
        return OnAnswer(lease_id="l1", until_utc_ms=5, request_id="r1", duplicate=False)

    def renew(self, request: RenewRequest) -> RenewAnswer:
        self.asked.append(request)
        return RenewAnswer(7)

    def off(self, request: TargetRequest) -> Sequence[Verdict]:
        self.asked.append(request)
        return [Verdict(name, Outcome.DONE) for name in self.outlets]

    async def reset(self, request: TargetRequest) -> Sequence[Verdict]:
        self.asked.append(request)
        raise Refused("only a person on site may release it", code="on_site")

    async def lock(self, request: TargetRequest) -> Sequence[Verdict]:
        self.asked.append(request)
        return []

    async def unlock(self, request: TargetRequest) -> Sequence[Verdict]:
        self.asked.append(request)
        return []

    def limits(self, request: LimitsRequest) -> dict[str, Any]:
        return {"outlet": request.outlet, "limits": {}, "origin": {}}

    def snapshot(self, request: SnapshotRequest) -> SnapshotPage:
        names = list(self.outlets)
        if request.outlets is not None:
            page = [name for name in request.outlets if self._known(name)]
            more = False
        else:
            start = names.index(request.after) + 1 if request.after else 0
            page = names[start : start + request.limit]
            more = start + len(page) < len(names)
        self.largest_slice = max(self.largest_slice, len(page))
        views = tuple(self.outlets[name] for name in page)
        return SnapshotPage(views, page[-1] if more else None, 0)

    def _known(self, name: str) -> bool:
        if name not in self.outlets:
            raise NotKnown(f"no outlet {name}")
        return True

    def changed(self, most: int) -> Sequence[OutletView]:
        names, self.dirty = self.dirty[:most], self.dirty[most:]
        return [self.outlets[name] for name in names]

    def buses(self) -> BusesAnswer:
        bus = BusView(bus="line1", kind="modbus-rtu", state="open", errors={"crc": 2})
        device = DeviceView(device="m1", bus="line1", unit=1, state="online")
        return BusesAnswer((bus,), (device,))

    def interlocks(self) -> InterlocksAnswer:
        smoke = InterlockView(
            interlock="smoke",
            name="Smoke",
            watches="smoke",
            state="tripped",
            cause="unreadable",
            since_utc_ms=1_790_000_000_000,
            outlets=2,
            circuits=("top",),
        )
        stop = InterlockView(
            interlock="stop", name="Stop", watches="emergency_stop", state="unread"
        )
        return InterlocksAnswer((smoke, stop))

    async def circuits(self) -> CircuitsAnswer:
        top = CircuitView(
            circuit="top",
            name="Top",
            parent=None,
            state=CircuitState.FULL,
            power_w=900.0,
            current_a=3.9,
            counted_w=1000.0,
            counted_a=4.3,
            limit_w=1000.0,
            waiting=("n1-1",),
            contactor=ContactorWord.CLOSED,
        )
        return CircuitsAnswer((top,))

    async def metrics(self) -> str:
        return "# TYPE x counter\n" + "x 1\n" * 100_000


@asynccontextmanager
async def listening(
    state_dir: Path, service: RememberingService, group: str | None = None
) -> AsyncIterator[tuple[Path, Journal]]:
    """Serve a socket and a journal; give the socket's path."""
    journal = Journal(journal_path(state_dir))
    journal.start()
    server = ControlServer(state_dir, group, service, journal)
    server.bind()
    task = asyncio.create_task(server.run())
    try:
        await asyncio.sleep(0.01)
        yield server.path, journal
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.close()
    assert not server.path.exists()


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, path: Path) -> Raw:
        return cls(*await asyncio.open_unix_connection(path, limit=8_000_000))

    def send(self, *lines: object) -> None:
        """Send requests (dicts) or raw bytes."""
        for line in lines:
            data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            self.writer.write(data)

    def ask(self, number: int, method: str, **params: object) -> None:
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    async def line(self) -> dict[str, Any]:
        """Read one message; an empty one when the guard closed the connection."""
        async with asyncio.timeout(30):
            data = await self.reader.readline()
        answer: dict[str, Any] = json.loads(data) if data else {}
        return answer

    async def close(self) -> None:
        self.writer.transport.abort()


Act = Callable[[Path, RememberingService], Awaitable[None]]


def play(tmp_path: Path, act: Act, *, outlets: int = 3, with_uvloop: bool = True) -> None:
    """Let somebody act on a socket that answers."""

    async def main() -> None:
        service = RememberingService.of(outlets)
        service.gate.set()
        async with asyncio.timeout(60), listening(tmp_path, service) as (path, _):
            await act(path, service)

    factory = uvloop.new_event_loop if with_uvloop else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
