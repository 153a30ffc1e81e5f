"""What the outlets look like now: kept from the guard's stream, so that asking costs it nothing.

The JSON of each outlet is made when it changes; a list of a thousand is a join.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.config.site import Outlet, Site
from gateway.core.clock import Clock
from gateway.core.errors import NotKnown, PilegateError
from gateway.link.client import FactArrived, OutletsChanged
from gateway.link.follow import LinkDown, LinkUp, follow_for_ever
from gateway.link.messages import OutletState, OutletView

log = logging.getLogger(__name__)

PROBE_S = 2.0
"""How often the guard is asked whether it still answers."""

IN_USE = (
    OutletState.WAITING,
    OutletState.STARTING,
    OutletState.ON,
    OutletState.STOPPING,
)


@dataclass(frozen=True, slots=True)
class GuardStanding:
    """Whether the guard can be reached, since when, and if not, why."""

    reachable: bool
    since_utc_ms: int
    detail: str
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "reachable": self.reachable,
            "since_utc_ms": self.since_utc_ms,
            "detail": self.detail,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """One outlet as it is shown now."""

    view: OutletView
    in_use: bool
    json: bytes


COUNTED = ("free", "in_use", "cut", "locked", "unknown")

_WORDS = {
    OutletState.OFF: "free",
    OutletState.WAITING: "in_use",
    OutletState.STARTING: "in_use",
    OutletState.ON: "in_use",
    OutletState.STOPPING: "in_use",
    OutletState.CUT: "cut",
    OutletState.LOCKED: "locked",
    OutletState.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many outlets are in which state. The states sum up to the total."""

    total: int
    free: int
    in_use: int
    cut: int
    locked: int
    unknown: int


class LiveOutlets:
    """All outlets of the site, in the site file's order."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site = site
        self._clock = clock
        self._order = {str(outlet.id): place for place, outlet in enumerate(site.outlets)}
        self._views: dict[str, OutletView] = {}
        self._counts: dict[tuple[str, str], Counts] | None = None
        now_utc_ms = clock.now().utc_ms
        self.guard = GuardStanding(False, now_utc_ms, "not connected yet")
        self._linked = False
        self._told_away = False
        self.guard_seq = 0
        """The guard's last fact, as far as its stream has told."""
        self._shown: list[Shown] = [self._show(outlet) for outlet in site.outlets]

    async def follow(self, socket: Path, wake: Callable[[], None]) -> None:
        """Follow the guard for ever; ``wake`` is called whenever there are new facts."""
        async for event in follow_for_ever(socket, views=True):
            match event:
                case OutletsChanged():
                    self.changed(event.outlets)
                case FactArrived():
                    self.guard_seq = event.fact.seq
                    wake()
                case LinkUp():
                    self.guard_seq = event.guard.seq
                    self.now_reachable(event.guard.version)
                    wake()
                case LinkDown():
                    self.now_away(str(event.error))

    def changed(self, views: Sequence[OutletView]) -> None:
        """Take in how outlets look now. Outlets that the site file lacks are left out."""
        for view in views:
            place = self._order.get(view.outlet)
            if place is not None:
                self._views[view.outlet] = view
                self._shown[place] = self._show(self._site.outlets[place])

    async def probe(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask the guard for ever whether it is there: one that hangs keeps its connections.

        ``ask`` raises PilegateError when it does not answer in time.
        """
        while True:
            await asyncio.sleep(PROBE_S)
            if not self._linked:
                continue  # whoever follows it tells
            try:
                await ask()
            except PilegateError as err:
                self._away(str(err))
            else:
                if self._linked and not self.guard.reachable:
                    self._reachable(self.guard.version)

    def now_reachable(self, version: str) -> None:
        """Note that the guard can be reached; it tells of all outlets next."""
        self._linked = True
        # Until it has sent an outlet's view, nothing is known of that outlet.
        self._views.clear()
        self._reachable(version)

    def now_away(self, why: str) -> None:
        """Note that the guard can't be reached: what the outlets do is unknown."""
        self._linked = False
        self._away(why)

    def _reachable(self, version: str | None) -> None:
        log.info("guard %s is reachable", version)
        self.guard = GuardStanding(True, self._clock.now().utc_ms, "", version)
        self._shown = [self._show(outlet) for outlet in self._site.outlets]

    def _away(self, why: str) -> None:
        if self.guard.reachable or not self._told_away:
            self._told_away = True
            log.warning("guard is not reachable: %s", why)
        if self.guard.reachable:
            self.guard = replace(
                self.guard, reachable=False, since_utc_ms=self._clock.now().utc_ms, detail=why
            )
            self._shown = [self._show(outlet) for outlet in self._site.outlets]
        else:
            self.guard = replace(self.guard, detail=why)

    def one(self, outlet_id: str) -> Shown:
        """Give one outlet. Raises NotKnown."""
        place = self._order.get(outlet_id)
        if place is None:
            raise NotKnown(f"no outlet {outlet_id!r}: see /v1/outlets")
        return self._shown[place]

    def page(
        self, *, after: str | None, limit: int, wanted: Callable[[Shown], bool] | None
    ) -> tuple[list[Shown], str | None]:
        """Give up to ``limit`` outlets after one, and ``after`` of the next page.

        Raises NotKnown for an ``after`` that is no outlet.
        """
        if after is not None and after not in self._order:
            raise NotKnown(f"no outlet {after!r} to go on after: start without a cursor")
        start = 0 if after is None else self._order[after] + 1
        if wanted is None:
            found = self._shown[start : start + limit + 1]
        else:
            found = []
            for shown in self._shown[start:]:
                if wanted(shown):
                    found.append(shown)
                    if len(found) > limit:
                        break
        page = found[:limit]
        return page, page[-1].view.outlet if len(found) > limit else None

    def counts(self, kind: str, target_id: str) -> Counts:
        """Count the outlets of a pile, a station or the site by state. Raises NotKnown."""
        if self._counts is None:
            self._counts = self._count()
        found = self._counts.get((kind, target_id))
        if found is None:
            raise NotKnown(f"no {kind} {target_id!r}: see /v1/groups")
        return found

    def _count(self) -> dict[tuple[str, str], Counts]:
        site = self._site
        tallies: dict[tuple[str, str], Counter[str]] = {("site", site.id): Counter()}
        tallies.update({("station", station.id): Counter() for station in site.stations})
        tallies.update({("pile", pile.id): Counter() for pile in site.piles})
        for shown in self._shown:
            word = _WORDS[shown.view.state]
            outlet = site.outlets[self._order[shown.view.outlet]]
            for key in (("site", site.id), ("station", outlet.station), ("pile", outlet.pile)):
                tallies[key][word] += 1
        return {
            key: Counts(total=tally.total(), **{word: tally[word] for word in COUNTED})
            for key, tally in tallies.items()
        }

    def _show(self, outlet: Outlet) -> Shown:
        self._counts = None
        view = self._views.get(outlet.id)
        if view is None:
            view = OutletView(
                outlet=outlet.id,
                name=outlet.name,
                pile=outlet.pile,
                station=outlet.station,
                state=OutletState.UNKNOWN,
            )
        elif not self.guard.reachable:
            view = replace(view, state=OutletState.UNKNOWN, stale=True)
        in_use = view.lease is not None or view.state in IN_USE
        return Shown(view, in_use, _json(view, in_use=in_use))


def _json(view: OutletView, *, in_use: bool) -> bytes:
    body = view.to_json()
    # An age would be wrong as soon as it is kept; the sample's time says the same for ever.
    del body["sample_age_ms"]
    body = {"id": body.pop("outlet"), **body, "in_use": in_use}
    return json.dumps(body, separators=(",", ":")).encode("ascii")
