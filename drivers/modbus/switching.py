"""Carrying commands out on an open bus, and telling what became of them.

A write is done when the device acknowledged it; where its acknowledgement is not to be believed,
because an earlier answer may still be on its way, when a read has shown its effect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from drivers.modbus import frames
from drivers.modbus.asking import Asker
from drivers.modbus.frames import Request
from drivers.modbus.lanes import Lanes, Off
from drivers.modbus.rounds import Rounds
from drivers.modbus.talk import Outcome, Talk
from drivers.modbus.unit import Unit
from drivers.modbus.writes import off_request, switch_request
from gateway.core.ids import OutletId
from gateway.guard.model import Sample, WriteResult

log = logging.getLogger(__name__)

JOINED_TRIES = 3
"""A device that leaves so many joined writes in a row unanswered does not know them."""

Written = Callable[[OutletId, bool, WriteResult], None]


class Switching:
    """The writes of one bus."""

    def __init__(
        self,
        asker: Asker,
        lanes: Lanes,
        rounds: Rounds,
        units_of: Mapping[OutletId, tuple[Unit, ...]],
        *,
        written: Written,
        now_ms: Callable[[], float],
    ) -> None:
        self._asker = asker
        self._lanes = lanes
        self._rounds = rounds
        self._units_of = units_of
        """Where each outlet is measured and switched, as far as that is on this bus."""
        self._written = written
        self._now_ms = now_ms
        self.confirm_all = False
        """Read every write's effect back, as ``all_off`` does."""

    async def switch_off(
        self, talk: Talk, unit: Unit, off: Off, sent: Request | None = None
    ) -> None:
        """Send an OFF, or take the answer to one that was ``sent`` already."""
        request = sent or off_request(unit.device, off.first, off.last)
        doubted = unit.suspicion.is_suspect
        answered_before = unit.health.misses == 0
        outcome = Outcome.LOST
        try:
            outcome = await self._asker.ask(talk, unit, request)
        finally:
            if outcome is Outcome.LOST:
                self.wrote(off.outlets, False, WriteResult.FAILED)
        if off.count > 1 and self._takes_no_joined(unit, outcome, talk, answered_before):
            log.warning("device %s refuses FC0F: its relays are switched one by one", off.device)
            self._lanes.unjoin(off.device)
            self._lanes.put_back(off)
            return
        if outcome is not Outcome.ANSWERED:
            unit.cut_failed = unit.off_failed = True
        if outcome is not Outcome.LOST:
            self._finish(unit, off.outlets, False, outcome, doubted=doubted)

    @staticmethod
    def _takes_no_joined(unit: Unit, outcome: Outcome, talk: Talk, answered_before: bool) -> bool:
        """Say whether a device had better be told of each relay alone.

        It declines the joined write, or this span of it; or it leaves joined writes unanswered
        again and again, and answers what it is asked in between.
        """
        if outcome is Outcome.DECLINED:
            return talk.exception_code in frames.NOT_DONE
        if outcome is Outcome.ANSWERED:
            unit.joined_missed = 0
        elif outcome is Outcome.SILENT and answered_before:
            unit.joined_missed += 1
        return unit.joined_missed >= JOINED_TRIES

    async def switch_on(self, talk: Talk, unit: Unit, outlet: OutletId) -> None:
        """Send an ON."""
        relay = self._lanes.relays[outlet]
        request = switch_request(unit.device, relay.address, on=True)
        outcome = await self._asker.ask(talk, unit, request)
        self._finish(unit, (outlet,), True, outcome, doubted=False)

    async def set_up(self, talk: Talk, unit: Unit, request: Request) -> None:
        """Send one of the settings of a module that came online."""
        outcome = await self._asker.ask(talk, unit, request)
        if not unit.waiting_setup or unit.waiting_setup[0] is not request:
            return  # it went away and came back meanwhile, and gets everything again
        if outcome is Outcome.DECLINED and talk.exception_code not in frames.BUSY:
            log.warning(
                "device %s refuses its setting %s: %s; check profile %s",
                unit.device.id,
                request.pdu.hex(" "),
                frames.EXCEPTIONS.get(talk.exception_code, talk.exception_code),
                unit.device.profile.profile,
            )
            unit.waiting_setup.popleft()
        elif outcome is Outcome.ANSWERED:
            unit.waiting_setup.popleft()

    def _finish(
        self,
        unit: Unit,
        outlets: tuple[OutletId, ...],
        wanted_on: bool,
        outcome: Outcome,
        *,
        doubted: bool,
    ) -> None:
        """Report a write, or have it read back where its echo is not to be believed."""
        if outcome is not Outcome.ANSWERED:
            self.wrote(outlets, wanted_on, WriteResult.FAILED)
            return
        for outlet in outlets:
            self._rounds.switched(self._units_of[outlet], self._now_ms(), on=wanted_on)
        shown = tuple(outlet for outlet in outlets if outlet in unit.shows_relay)
        hidden = tuple(outlet for outlet in outlets if outlet not in unit.shows_relay)
        if not doubted and not self.confirm_all:
            self.wrote(outlets, wanted_on, WriteResult.DONE)
            return
        self.wrote(hidden, wanted_on, WriteResult.FAILED if doubted else WriteResult.DONE)
        for outlet in shown:
            unit.unconfirmed[outlet] = wanted_on
        if shown:
            self._rounds.promote(unit)

    def seen(self, unit: Unit, outlet: OutletId, sample: Sample) -> None:
        """Compare a sample with the write that it was to confirm, if there is one."""
        if unit.unconfirmed and sample.relay_on is not None and outlet in unit.unconfirmed:
            wanted_on = unit.unconfirmed.pop(outlet)
            seen = WriteResult.DONE if sample.relay_on is wanted_on else WriteResult.FAILED
            self._written(outlet, wanted_on, seen)

    def fail_unconfirmed(self, unit: Unit) -> None:
        """Tell that what was to be read back was not."""
        while unit.unconfirmed:
            outlet, wanted_on = unit.unconfirmed.popitem()
            self._written(outlet, wanted_on, WriteResult.FAILED)

    def wrote(self, outlets: tuple[OutletId, ...], wanted_on: bool, result: WriteResult) -> None:
        """Tell what became of a write."""
        for outlet in outlets:
            self._written(outlet, wanted_on, result)
