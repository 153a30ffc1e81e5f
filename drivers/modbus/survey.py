"""Which units of a line answer, and which profiles fit what they say: `pilegate scan-bus`.

Only reads are sent, of registers that known profiles read. A unit that answers anything, be it
an exception, is there; then everything that each profile reads is asked for once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivers.modbus.frames import Function, Request
from drivers.modbus.likeness import Likeness, Reading, every_read, likeness, readings
from drivers.modbus.reads import Read
from drivers.modbus.visit import Heard, Visit
from gateway.config import Profile, Quantity, Space
from gateway.config.profile import CoilRelay, CommandRelay, RegisterRelay

GREETINGS = (Function.READ_INPUT, Function.READ_HOLDING, Function.READ_COILS)
"""Kinds of reads by which a unit is looked for: what there is understands one of them, or
declines it."""

TOO_LATE = "its answers come too late: give it a longer --timeout-ms"
NOISE = "two devices may have this number, or there is noise"
SILENT = "is silent to some reads"


@dataclass(frozen=True, slots=True)
class Found:
    """A unit that answers. ``fits``: the profiles it may have, the best first; maybe none."""

    unit: int
    fits: tuple[Likeness, ...]
    why_not: str
    """What it answered to what it did not give."""
    is_understood: bool = False
    """Whether any of its answers was a good one, be it an exception."""

    @property
    def best(self) -> tuple[Likeness, ...]:
        """The profiles that fit equally well: their registers are the same."""
        return tuple(each for each in self.fits if each.points == self.fits[0].points)


class Survey:
    """Looks for units on an open line."""

    def __init__(self, visit: Visit, profiles: Iterable[Profile]) -> None:
        self._visit = visit
        self._plans = [(p, (*every_read(p), *relay_reads(p))) for p in profiles]
        self._greetings = greetings(read for _, reads in self._plans for read in reads)

    async def look(self, unit: int) -> Found | None:
        """Ask one unit; None when nobody answers. Raises FixInstallation when the line is lost."""
        noise = ""
        for read in self._greetings:
            heard = await self._visit.ask(read.request(unit))
            if heard.is_noise:
                # once is a disturbance; twice is somebody
                await self._visit.settle()
                heard = await self._visit.ask(read.request(unit))
                noise = noise or (_named(heard) if heard.is_noise else "")
            if heard.is_there:
                return await self._identify(unit)
            if heard.is_unknown_to_gateway:
                return None
        if unit in self._visit.late:
            return Found(unit, (), TOO_LATE)
        return Found(unit, (), noise) if noise else None

    async def _identify(self, unit: int) -> Found:
        heard: dict[bytes, Heard] = {}
        fits = []
        for profile, reads in self._plans:
            everything = await self._everything(unit, reads, heard)
            fit = None if everything is None else likeness(profile, everything)
            if fit is not None:
                fits.append(fit)
        fits = [fit for fit in fits if not _is_outgrown(fit, fits)]
        fits.sort(key=lambda fit: (-fit.points, _oddness(fit.profile)))
        refused = [each for each in heard.values() if each.data is None]
        whys = {each.why if each.is_declined or each.is_noise else SILENT for each in refused}
        return Found(unit, tuple(fits), "; ".join(sorted(whys)), is_understood=True)

    async def _everything(
        self, unit: int, reads: Sequence[Read], heard: dict[bytes, Heard]
    ) -> list[Reading] | None:
        """Decode all that a profile reads; None as soon as something is not given."""
        found: list[Reading] = []
        for read in reads:
            request = read.request(unit)
            answer = heard.get(request.pdu)
            if answer is None:
                answer = heard[request.pdu] = await self._ask(request)
            if answer.data is None:
                return None
            found.extend(readings(read, request, answer.data))
        return found

    async def _ask(self, request: Request) -> Heard:
        answer = await self._visit.ask(request)
        if answer.data is None and not answer.is_declined:
            # late, or spoilt: what is late must not be taken for the next one's
            await self._visit.settle()
            answer = await self._visit.ask(request)
        if answer.data is None and not answer.is_declined:
            await self._visit.settle()
        return answer


def _named(noise: Heard) -> str:
    return noise.why if noise.is_of_another else f"{noise.why}: {NOISE}"


def relay_reads(profile: Profile) -> list[Read]:
    """Plan a read of the coils that a profile writes and does not read: they must be there."""
    relay, shown = profile.relay, profile.values.get(Quantity.RELAY_ON)
    if not isinstance(relay, CoilRelay) or relay.stride != 1:
        return []
    if shown is not None and shown.space is Space.COIL:
        return []
    return [Read(Space.COIL, relay.address, profile.channels, ())]


def _is_outgrown(fit: Likeness, fits: Iterable[Likeness]) -> bool:
    """Say whether another profile has the same registers, of more channels.

    A board of sixteen relays also answers what is asked of one of eight.
    """
    values, channels = fit.profile.values, fit.profile.channels
    return any(
        other.profile.values == values and other.profile.channels > channels for other in fits
    )


def _oddness(profile: Profile) -> int:
    """Rank what can't be told apart by reading: what keeps to the protocol comes first."""
    styles = (CoilRelay, RegisterRelay, CommandRelay)
    ranks = (rank for rank, kind in enumerate(styles) if isinstance(profile.relay, kind))
    return next(ranks, len(styles))


def greetings(reads: Iterable[Read]) -> list[Read]:
    """Choose one read of each kind: that of the lowest address, and the shortest of those."""
    best: dict[int, Read] = {}
    for read in reads:
        function = read.request(1).function
        other = best.get(function)
        if other is None or (read.address, read.count) < (other.address, other.count):
            best[function] = read
    return [best[function] for function in GREETINGS if function in best]
