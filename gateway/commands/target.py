"""What a command acts on: ``n1-3``, ``pile/n1``, ``station/north``, ``circuit/main``, ``site``."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.errors import CorrectInput
from gateway.core.ids import is_name

KINDS = ("outlet", "pile", "station", "circuit", "site")


@dataclass(frozen=True, slots=True)
class Target:
    """One outlet, or all outlets of a pile, a station, a circuit or the site."""

    kind: str
    id: str
    """Empty for the site, whose id its guard knows."""

    def __str__(self) -> str:
        if self.kind == "outlet":
            return self.id
        return f"{self.kind}/{self.id}" if self.id else self.kind


def parse_target(text: str) -> Target:
    """Read a TARGET. Raises CorrectInput with a line that shows the accepted forms."""
    kind, slash, name = text.partition("/")
    if not slash:
        kind, name = ("site", "") if text == "site" else ("outlet", text)
    if kind in KINDS and (is_name(name) or (kind == "site" and not name)):
        return Target(kind, name)
    raise CorrectInput(
        f"{text!r} is not a target: write an outlet (n1-3), pile/n1, station/north, "
        "circuit/main or site",
        field="target",
    )
