"""One connection to the guard for everybody's calls, made anew when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway.core.errors import CorrectInput, FixInstallation, PilegateError, TryLater
from gateway.link.client import GuardClient

CALL_TIMEOUT_S = 10.0

T = TypeVar("T")


class GuardAway(TryLater):
    """No connection to the guard could be made: nothing was sent."""


@dataclass(slots=True)
class _Line:
    client: GuardClient
    users: int = 0
    retired: bool = False


class GuardLink:
    """Calls share one connection, so that they reach the guard in the order they were made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def call(
        self, method: str, *, timeout_s: float = CALL_TIMEOUT_S, **params: object
    ) -> dict[str, Any]:
        """Ask the guard. Raises GuardAway when nothing was sent, and what ``call`` raises.

        TryLater and FixInstallation leave open whether the guard did it.
        """
        line = await self._use()
        try:
            return await line.client.call(method, timeout_s=timeout_s, **params)
        except (TryLater, FixInstallation):
            # It may be the connection; the calls under way on it still get their answers.
            line.retired = True
            raise
        finally:
            await self._leave(line)

    async def ask(self, method: str, read: Callable[[object], T], params: Mapping[str, Any]) -> T:
        """Ask the guard and read its answer.

        Raises as ``call``, and FixInstallation for an answer that can't be read: what was
        asked for may have been done.
        """
        answer = await self.call(method, **params)
        try:
            return read(answer)
        except CorrectInput as err:
            raise FixInstallation(
                f"guard's answer to {method} can't be read: {err}: are guard and this program "
                "of one version?"
            ) from err

    async def close(self) -> None:
        """Close the connection."""
        line, self._line = self._line, None
        if line is not None:
            await line.client.close()

    async def _use(self) -> _Line:
        async with self._connecting:
            if self._line is None or self._line.retired:
                await self._leave_unused()
                try:
                    client = await GuardClient.connect(self._path)
                except PilegateError as err:
                    raise GuardAway(str(err)) from err
                self._line = _Line(client)
            self._line.users += 1
            return self._line

    async def _leave_unused(self) -> None:
        """Let go of a retired connection; whoever still uses it closes it."""
        line, self._line = self._line, None
        if line is not None and line.users == 0:
            await line.client.close()

    async def _leave(self, line: _Line) -> None:
        line.users -= 1
        if line.retired and line.users == 0 and line is not self._line:
            await line.client.close()
