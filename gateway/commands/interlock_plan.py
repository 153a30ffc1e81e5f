"""What ``check`` says about interlocks: what trips each of them, and what it opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Interlock, Site


def interlock_lines(site: Site) -> Iterator[str]:
    """Give a line for each interlock."""
    return (_line(interlock) for interlock in site.interlocks)


def _line(interlock: Interlock) -> str:
    rule, at = interlock.rule, interlock.input
    opens = [f"{len(interlock.outlets)} outlets", *(f"circuit {c}" for c in interlock.circuits)]
    trips = "on" if rule.trips_when_on else "off"
    lasting = f" for {rule.delay_s:g} s" if rule.delay_s else ""
    return (
        f"interlock {interlock.id}: {interlock.watches.value.replace('_', ' ')}; "
        f"trips when {at.device}:{at.channel} is {trips}{lasting}, or unread for "
        f"{rule.silence_s:g} s; opens {' and '.join(opens)}"
    )
