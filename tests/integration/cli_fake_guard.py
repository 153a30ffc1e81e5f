"""A guard's socket without a guard: answers what a test tells it to, and keeps what it heard."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.core.errors import NotKnown, PilegateError
from gateway.core.facts import Fact
from gateway.link.messages import OutletState, OutletView, fact_to_json
from gateway.link.rpc import dump, error_line, notice_line

Answer = dict[str, Any] | PilegateError | Callable[[dict[str, Any]], dict[str, Any]]

HELLO = {"version": "0", "site": "demo", "boot_id": "b", "pid": 4321, "seq": 7}


def view(outlet: str, **fields: Any) -> OutletView:
    plain: dict[str, Any] = {
        "outlet": outlet,
        "name": outlet,
        "pile": outlet.split("-", maxsplit=1)[0],
        "station": "north",
        "state": OutletState.OFF,
        "relay_on": False,
        "sample_utc_ms": 1_790_000_000_000,
        "stale": False,
        "device_state": "online",
    }
    return OutletView(**plain | fields)


def fact(seq: int, kind: str, reason: str = "", **data: Any) -> Fact:
    return Fact(
        seq=seq,
        id=f"id-{seq}",
        kind=kind,
        subject=f"outlet/{data.get('outlet', 'n1-3')}",
        utc_ms=1_790_000_000_000 + seq,
        quality="synced",
        actor="guard",
        reason=reason,
        data=data,
    )


class FakeGuard:
    """Serves one socket from a thread, one connection at a time after the other."""

    def __init__(self, path: Path) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Answer] = {"hello": HELLO}
        self.facts: list[Fact] = []
        self.views: list[OutletView] = []
        self.hangs = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def params(self, method: str) -> dict[str, Any]:
        """Give what the last call of a method came with."""
        return next(params for name, params in reversed(self.heard) if name == method)

    def methods(self) -> list[str]:
        return [name for name, _ in self.heard]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            if not self.hangs:
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rwb") as file:
                for line in file:
                    request = json.loads(line)
                    self.heard.append((request["method"], request["params"]))
                    file.write(self._reply(request))
                    file.flush()
        except OSError:
            return

    def _reply(self, request: dict[str, Any]) -> bytes:
        answer = self._answer(request["method"], request["params"])
        if isinstance(answer, PilegateError):
            return error_line(request["id"], answer)
        message = {"jsonrpc": "2.0", "id": request["id"], "result": answer}
        reply = dump(message) + b"\n"
        if request["method"] == "follow":
            after = request["params"].get("facts_after", 0)
            for each in self.facts:
                if each.seq > after:
                    reply += notice_line("fact", dump(fact_to_json(each)))
        return reply

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any] | PilegateError:
        if method == "snapshot" and "snapshot" not in self.answers:
            return self._snapshot(params)
        if method == "follow":
            return {"seq": 7}
        answer = self.answers.get(method, NotKnown(f"no {method} here"))
        return answer(params) if callable(answer) else answer

    def _snapshot(self, params: dict[str, Any]) -> dict[str, Any] | PilegateError:
        """Page as the guard does, two outlets a page."""
        names = [each.outlet for each in self.views]
        chosen = params.get("outlets")
        if chosen is not None:
            if missing := [name for name in chosen if name not in names]:
                return NotKnown(f"no outlet {missing[0]!r}")
            views = [each for each in self.views if each.outlet in chosen]
            return {"outlets": [each.to_json() for each in views], "next": None, "seq": 7}
        start = names.index(params["after"]) + 1 if params.get("after") else 0
        page = self.views[start : start + 2]
        more = start + 2 < len(names)
        return {
            "outlets": [each.to_json() for each in page],
            "next": page[-1].outlet if more else None,
            "seq": 7,
        }


@contextmanager
def fake_guard(state_dir: Path) -> Iterator[FakeGuard]:
    guard = FakeGuard(state_dir / "guard.sock")
    try:
        yield guard
    finally:
        guard.close()
