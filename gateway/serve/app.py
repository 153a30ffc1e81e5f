"""Composition root of serve: makes everything, runs it, stops it in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn

from api.app import make_app
from api.dependencies import Services
from api.metrics import Metrics
from api.problems import problem
from gateway.config.site import Site
from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import PilegateError
from gateway.link.address import socket_path
from gateway.link.journal import journal_path
from gateway.link.requests import Method
from gateway.runtime.loop_lag import measure
from gateway.runtime.sd_notify import notify, watchdog
from gateway.runtime.version import program_version
from gateway.serve.command_facts import CommandFacts
from gateway.serve.commands import Commands
from gateway.serve.delivery import Delivery
from gateway.serve.events import EventFeed
from gateway.serve.facts import FactTaker
from gateway.serve.guard_link import GuardLink
from gateway.serve.http import HttpServer, listen_on, make_server, split_listen
from gateway.serve.inquiries import Inquiries
from gateway.serve.journal import Journal
from gateway.serve.live import COUNTED, LiveOutlets
from gateway.serve.retention import Retention
from gateway.serve.tokens import Tokens
from gateway.storage.engine import Database, open_database, resolve_url
from gateway.storage.migrate import migrate

DRAIN_WITHIN_S = 3.0
"""How long commands under way get for the guard's answer when the process stops."""

PROBE_WITHIN_S = 3.0
"""A guard that does not answer in this time is said to be away."""

log = logging.getLogger(__name__)


class Serve:
    """All parts of a serve process, made and not yet running."""

    def __init__(self, site: Site, state_dir: Path, database: Database, clock: Clock) -> None:
        self._socket_path = socket_path(state_dir)
        self.database = database
        self.journal = Journal(journal_path(state_dir))
        self.link = GuardLink(self._socket_path)
        self.feed = EventFeed()
        self.live = LiveOutlets(site, clock)
        self.tokens = Tokens(database, clock)
        self.delivery = Delivery(self.link, site, clock, self._take_over)
        self.commands = Commands(database, site, clock, self.delivery.put)
        self.taker = FactTaker(
            database, self.journal, clock, self.feed, [CommandFacts(self.commands, clock)]
        )
        self.retention = Retention(database, clock, site.serve.events_retention_days)
        self.services = Services(
            version=program_version(),
            site=site,
            clock=clock,
            database=database,
            journal=self.journal,
            tokens=self.tokens,
            commands=self.commands,
            taker=self.taker,
            feed=self.feed,
            live=self.live,
            inquiries=Inquiries(self.link, database),
            metrics=self._metrics(site),
        )
        self._lag = self.services.metrics.histogram(
            "pilegate_serve_loop_lag_seconds", "How late the event loop was."
        )
        self.app = make_app(self.services)

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[NoReturn]]:
        """Start everything that runs for ever, but not the server."""
        work: dict[str, Coroutine[Any, Any, None]] = {
            "live": self.live.follow(self._socket_path, self.taker.wake),
            "probe": self.live.probe(self._probe),
            "facts": self.taker.run(),
            "commands": self.delivery.run(self.commands),
            "tokens": self.tokens.run(),
            "retention": self.retention.run(),
            "loop-lag": measure(self._lag.observe),
            "watchdog": watchdog(),
        }
        return [
            tasks.create_task(_for_ever(name, coroutine), name=name)
            for name, coroutine in work.items()
        ]

    async def close(self) -> None:
        """Let go of files and connections."""
        with suppress(PilegateError):
            await self.tokens.note_use()
        await self.link.close()
        await self.journal.close()
        await self.database.close()

    async def _probe(self) -> None:
        await self.link.call(Method.HELLO, timeout_s=PROBE_WITHIN_S)

    async def _take_over(self) -> int:
        return await self.taker.take_over()

    def _metrics(self, site: Site) -> Metrics:
        metrics = Metrics()
        gauge = metrics.gauge
        gauge(
            "pilegate_facts_waiting",
            "Facts of the guard's journal that were not taken over yet.",
            lambda: self.taker.lag,
        )
        gauge(
            "pilegate_facts_trouble",
            "1 while facts can't be taken over.",
            lambda: self.taker.trouble is not None,
        )
        gauge(
            "pilegate_guard_reachable",
            "1 while the guard's stream is followed.",
            lambda: self.live.guard.reachable,
        )
        gauge(
            "pilegate_commands_under_way",
            "Commands that wait for the guard's answer.",
            lambda: self.delivery.under_way,
        )
        gauge(
            "pilegate_event_streams",
            "Event streams that are open.",
            lambda: self.services.streams.open,
        )
        for state in COUNTED:
            gauge(
                f"pilegate_outlets_{state}",
                f"Outlets of the site that are {state.replace('_', ' ')}.",
                lambda state=state: getattr(self.live.counts("site", site.id), state),  # type: ignore[misc]
            )
        return metrics


async def serve(
    site: Site,
    state_dir: Path,
    listen: str | None = None,
    *,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Run serve until SIGTERM or SIGINT.

    ``listen`` is ``host:port`` and outranks the site file; port 0 takes a free one.
    ``announce`` is told the API's address once it listens. Raises FixInstallation for what
    a person has to put right, before anything is started.
    """
    host, port = (site.serve.host, site.serve.port) if listen is None else split_listen(listen)
    tls = site.serve.tls
    async with AsyncExitStack() as stack:
        sock = stack.enter_context(listen_on(host, port, tls=tls is not None))
        database = open_database(resolve_url(site.serve.database, state_dir))
        whole = Serve(site, state_dir, database, SystemClock())
        stack.push_async_callback(whole.close)
        await migrate(database)
        server = make_server(whole.app, tls, bytes(problem(400, "this is no HTTP request").body))
        stopping = _stop_on_signals(stack)
        await whole.delivery.look_back(whole.commands)
        address = _address(sock, tls=tls is not None)
        try:
            async with asyncio.TaskGroup() as tasks:
                background = whole.start(tasks)
                http = tasks.create_task(_for_server(server, sock), name="http")
                if announce is not None:
                    announce(address)
                log.info("API listens on %s", address)
                notify("READY=1", f"STATUS=API listens on {address}")
                await stopping.wait()
                log.info("stopping")
                notify("STOPPING=1")
                await _stop(whole, server, http)
                for task in background:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
    log.info("stopped")


async def _stop(whole: Serve, server: HttpServer, http: asyncio.Task[None]) -> None:
    """Flag, drain, bounded wait."""
    whole.feed.close()
    server.should_exit = True
    await http
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_WITHIN_S):
            await whole.delivery.drained()


async def _for_server(server: HttpServer, sock: socket.socket) -> None:
    await server.serve(sockets=[sock])
    if not server.should_exit:
        raise RuntimeError("the HTTP server ended by itself")


async def _for_ever(name: str, coroutine: Coroutine[Any, Any, None]) -> NoReturn:
    await coroutine
    raise RuntimeError(f"{name} ended by itself")


def _stop_on_signals(stack: AsyncExitStack) -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
        stack.callback(loop.remove_signal_handler, number)
    return stopping


def _address(sock: socket.socket, *, tls: bool) -> str:
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the error a person must see: ours before a fault of the program."""
    ours = errors.subgroup(PilegateError)
    found: BaseException = ours if ours is not None else errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
