"""What an entry of a site file means when it names the site, a station, a pile or an outlet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.config.explain import nearest
from gateway.config.findings import Findings
from gateway.config.site_outlets import Layout
from gateway.config.yaml_source import KeyPath
from gateway.core.ids import OutletId


def split_target(written: str) -> tuple[str, str]:
    """Take ``pile/n1`` apart; an id alone is an outlet's."""
    kind, slash, name = written.partition("/")
    if written == "site":
        return "site", ""
    return (kind, name) if slash else ("outlet", written)


class Targets:
    """Looks up who is meant; notes names that nobody has."""

    def __init__(self, found: Findings, layout: Layout) -> None:
        self.outlets = tuple(draft.id for draft in layout.outlets)
        """All of the site, in its order."""
        self._found = found
        piles: dict[str, Sequence[OutletId]] = {pile.id: pile.outlets for pile in layout.piles}
        self._groups: dict[str, dict[str, Sequence[OutletId]]] = {
            "outlet": {outlet: (outlet,) for outlet in self.outlets},
            "station": {
                station.id: [outlet for pile in station.piles for outlet in piles[pile]]
                for station in layout.stations
            },
            "pile": piles,
        }

    def named(
        self,
        written: str,
        path: KeyPath,
        more: Mapping[str, Mapping[str, Sequence[OutletId]]] | None = None,
    ) -> Sequence[OutletId]:
        """Give the outlets that are meant. ``more`` adds kinds of groups, such as circuits."""
        if written == "site":
            return self.outlets
        groups: Mapping[str, Mapping[str, Sequence[OutletId]]] = {**self._groups, **(more or {})}
        kind, name = split_target(written)
        known = groups.get(kind)
        if known is None:
            kinds = ", ".join(f"{each}/ID" for each in groups if each != "outlet")
            self._found.wrong(path, f"{written!r} is not site, {kinds} or an outlet")
            return ()
        if name not in known:
            self._found.wrong(path, f"no {kind} {name!r}; {nearest(name, known)}")
            return ()
        return known[name]
