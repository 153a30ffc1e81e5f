"""One relay: its coil follows commands after a moment, its contact usually follows its coil."""

from __future__ import annotations

FOLLOWS_AFTER_S = 0.008
"""A power relay operates within 5 to 15 ms (usual data-sheet figures)."""


class Relay:
    """A coil that is read back, and a contact that carries the current.

    A welded contact stays closed once it is closed, though the coil lets go; a relay that is
    stuck open ignores its command: neither its coil nor its contact moves.
    """

    def __init__(self, *, on: bool = False, follows_after_s: float = FOLLOWS_AFTER_S) -> None:
        self.coil_on = on
        self.contact_closed = on
        self.welded = False
        self.stuck_open = False
        self._follows_after_s = follows_after_s
        self._wanted_on = on
        self._due_s: float | None = None

    @property
    def commanded_on(self) -> bool:
        """What the last command asked for."""
        return self._wanted_on

    @property
    def due_s(self) -> float | None:
        """When the coil moves next, on the owner's clock; None when nothing is under way."""
        return self._due_s

    def command(self, on: bool, now_s: float) -> None:
        """Ask the coil to go on or off."""
        self._wanted_on = on
        self._due_s = now_s + self._follows_after_s

    def settle(self, now_s: float) -> None:
        """Let the coil and the contact follow, as far as they do."""
        if self._due_s is not None and now_s >= self._due_s:
            self.coil_on = self._wanted_on and not self.stuck_open
            self._due_s = None
        self.contact_closed = self.coil_on or (self.welded and self.contact_closed)
