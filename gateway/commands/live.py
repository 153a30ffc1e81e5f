"""A live screen of a site: follows the guard, redraws twice a second, ends at a key."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Group
from rich.live import Live

from gateway.commands.keys import until_quit
from gateway.commands.show import clock_time
from gateway.commands.tables import console, site_screen, summary
from gateway.commands.verdict import connect
from gateway.core.errors import PilegateError
from gateway.link.client import OutletsChanged
from gateway.link.follow import FollowEvent, LinkDown, LinkUp, follow_for_ever
from gateway.link.messages import BusView, OutletView
from gateway.link.requests import BusesAnswer, Method

REDRAW_S = 0.5
BUSES_S = 2.0


@dataclass(slots=True)
class Picture:
    """What the screen shows: the latest view of everything."""

    title: str = ""
    outlets: dict[str, OutletView] = field(default_factory=dict)
    """In the order in which the guard first sent them: that of the site file."""
    buses: tuple[BusView, ...] = ()
    trouble: str = ""
    """Why the picture is not kept up to date; empty when it is."""
    foot: str = "q quits"

    def take(self, event: FollowEvent) -> None:
        """Take over what the guard sent, or that it does not send any more."""
        match event:
            case OutletsChanged(outlets):
                self.outlets |= {view.outlet: view for view in outlets}
            case LinkUp(guard):
                self.title, self.trouble = f"{guard.site} · guard {guard.pid}", ""
            case LinkDown(error):
                self.trouble = f"{error}; what follows is old"

    def draw(self, width: int, height: int, now_utc_ms: int) -> Group:
        """Draw it for a screen of that size."""
        views = list(self.outlets.values())
        head = f"{self.title} · {summary(views)} · {clock_time(now_utc_ms)}"
        return site_screen(
            views,
            self.buses,
            head=head,
            trouble=self.trouble,
            foot=self.foot,
            width=width,
            height=height,
            now_utc_ms=now_utc_ms,
        )


async def watch(socket: Path) -> None:
    """Show a guard's site until q or Ctrl-C. Raises GuardNotReachable if it does not run."""
    await (await connect(socket)).close()
    picture = Picture()
    tasks = [
        asyncio.create_task(_follow(socket, picture), name="follow"),
        asyncio.create_task(keep_buses(socket, picture), name="buses"),
        asyncio.create_task(paint(picture), name="paint"),
    ]
    try:
        await until_quit(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def paint(picture: Picture) -> None:
    """Redraw the picture on the terminal's second screen until cancelled."""
    out = console()
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            now_utc_ms = time.time_ns() // 1_000_000
            live.update(picture.draw(out.width, out.height, now_utc_ms), refresh=True)
            await asyncio.sleep(REDRAW_S)


async def keep_buses(socket: Path, picture: Picture) -> None:
    """Ask for the buses until cancelled; they are not part of what is followed."""
    while True:
        try:
            async with await connect(socket) as client:
                picture.buses = BusesAnswer.from_json(await client.call(Method.BUSES)).buses
        except PilegateError as error:
            picture.trouble = f"{error}; what follows is old"
        await asyncio.sleep(BUSES_S)


async def _follow(socket: Path, picture: Picture) -> None:
    async for event in follow_for_ever(socket, views=True):
        picture.take(event)
