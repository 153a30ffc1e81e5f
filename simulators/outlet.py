"""One outlet: a feed, a relay, what is plugged in, and a meter."""

from __future__ import annotations

from simulators.mains import Feed
from simulators.physics import LONGEST_STEP_S, NO_DRAW, Draw, Load, Reading
from simulators.relay import Relay

AMBIENT_C = 25.0

Breaker = Relay
"""A contactor is a relay on the way to many outlets."""


class SimOutlet:
    """Advances lazily: whoever looks at it first brings it up to the present.

    Times are seconds of the owner's clock and never go back.
    """

    def __init__(
        self, name: str, feed: Feed, now_s: float = 0.0, longest_step_s: float = LONGEST_STEP_S
    ) -> None:
        self.name = name
        self.feed = feed
        self.relay = Relay()
        self.breakers: tuple[Breaker, ...] = ()
        """What has to be closed on the way from the mains."""
        self.energy_wh = 0.0
        """What really flowed; the meter's register shows it unless the meter is frozen."""
        self._plugged: Load | None = None
        self._added: list[Load] = []
        self._draw = NO_DRAW
        self._now_s = now_s
        self._longest_step_s = longest_step_s
        self._frozen: Reading | None = None
        self._heat_c: float | None = None

    def plug(self, load: Load, now_s: float) -> None:
        """Plug something in; whatever was in is pulled first."""
        self.unplug(now_s)
        self._plugged = load
        self._refresh()

    def unplug(self, now_s: float) -> None:
        """Pull everything that is in."""
        self.advance(now_s)
        self._plugged = None
        self._added.clear()
        self._refresh()

    def add_load(self, load: Load, now_s: float) -> None:
        """Put another load on the same outlet."""
        self.advance(now_s)
        self._added.append(load)
        self._refresh()

    def remove_load(self, load: Load, now_s: float) -> None:
        """Take an added load off, if it is still there."""
        self.advance(now_s)
        self._added = [other for other in self._added if other is not load]
        self._refresh()

    def switch(self, on: bool, now_s: float) -> None:
        """Command the relay."""
        self.advance(now_s)
        self.relay.command(on, now_s)

    def weld(self, welded: bool, now_s: float) -> None:
        """Weld the contact (as soon as it is closed), or break it open again."""
        self.advance(now_s)
        self.relay.welded = welded
        self._refresh()

    def stick_open(self, stuck: bool, now_s: float) -> None:
        """Make the relay ignore commands, or obey the next one."""
        self.advance(now_s)
        self.relay.stuck_open = stuck

    def freeze(self, frozen: bool, now_s: float) -> None:
        """Freeze the meter at what it shows, or let it go on."""
        self._frozen = self.reading(now_s) if frozen else None

    def heat(self, temperature_c: float | None) -> None:
        """Make the outlet this hot; None lets it cool down."""
        self._heat_c = temperature_c

    @property
    def temperature_c(self) -> float:
        """Temperature of its contacts."""
        return AMBIENT_C if self._heat_c is None else self._heat_c

    def flowing(self, now_s: float) -> Draw:
        """Say what really flows at ``now_s``, whatever the meter shows."""
        self.advance(now_s)
        return self._draw

    @property
    def is_frozen(self) -> bool:
        """Whether its meter stands still."""
        return self._frozen is not None

    @property
    def draw(self) -> Draw:
        """What flows at the moment up to which it was advanced."""
        return self._draw

    def advance(self, now_s: float) -> None:
        """Live until ``now_s``."""
        while self._now_s < now_s:
            until_s = now_s
            if self._plugged is not None or self._added:
                until_s = min(until_s, self._now_s + self._longest_step_s)
            moving = [self.relay.due_s, *(breaker.due_s for breaker in self.breakers)]
            dues = [due_s for due_s in moving if due_s is not None]
            until_s = min(until_s, *(due_s for due_s in dues if self._now_s < due_s), until_s)
            self._step(until_s - self._now_s)
            self._now_s = until_s
            if any(due_s <= until_s for due_s in dues):
                self.relay.settle(until_s)
                self._refresh()

    def reading(self, now_s: float) -> Reading:
        """Say what the meter shows at ``now_s``."""
        self.advance(now_s)
        if self._frozen is not None:
            return self._frozen
        return Reading(
            voltage_v=self._supply_v(),
            current_a=self._draw.current_a,
            power_w=self._draw.power_w,
            power_factor=self._draw.power_factor,
            frequency_hz=self.feed.mains.frequency_hz(self._now_s),
            energy_wh=self.energy_wh,
        )

    def _step(self, dt_s: float) -> None:
        draw = self._total(dt_s)
        self.energy_wh += draw.power_w * dt_s / 3600
        self.feed.change(self._draw.current_a, draw.current_a)
        self._draw = draw

    def _refresh(self) -> None:
        """Bring the draw up to date after something changed at this very moment."""
        draw = self._total(0.0)
        self.feed.change(self._draw.current_a, draw.current_a)
        self._draw = draw

    def _supply_v(self) -> float:
        """Voltage before the relay."""
        for breaker in self.breakers:
            breaker.settle(self._now_s)
            if not breaker.contact_closed:
                return 0.0
        return self.feed.voltage_v(self._now_s)

    def _total(self, dt_s: float) -> Draw:
        loads = [*self._added] if self._plugged is None else [self._plugged, *self._added]
        if not loads:
            return NO_DRAW
        self.relay.settle(self._now_s)
        voltage_v = self._supply_v() if self.relay.contact_closed else 0.0
        draws = [load.step(dt_s, voltage_v) for load in loads]
        if len(draws) == 1:
            return draws[0]
        power_w = sum(draw.power_w for draw in draws)
        current_a = sum(draw.current_a for draw in draws)
        if current_a <= 0:
            return NO_DRAW
        return Draw(power_w, current_a, min(1.0, power_w / (current_a * voltage_v)))
