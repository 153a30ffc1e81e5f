"""Checks who connects to the broker against the users' file, which is read anew when it changes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from pathlib import Path

from gateway.broker.users import NOBODY, read_users
from gateway.core.errors import CorrectFiles

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Hashes computed at once: a crowd that reconnects must not take all processors."""
NAMED_REFUSALS = 100
"""Names whose refusal was told; what comes beyond is not."""


class Logins:
    """The users of one file."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises CorrectFiles."""
        self._path = path
        self._users = read_users(path)
        self._stamp = self._read_stamp()
        self._secret = secrets.token_bytes(32)
        self._good: dict[str, bytes] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._refused: set[str] = set()

    async def allows(self, name: str | None, password: str | None) -> bool:
        """Say whether a name and a password go together."""
        self._read_again()
        name, given = name or "", (password or "").encode(errors="replace")
        digest = hmac.digest(self._secret, name.encode(errors="replace") + b"\0" + given, "sha256")
        known = self._good.get(name)
        if known is not None and hmac.compare_digest(known, digest):
            return True
        hashed = self._users.get(name)
        async with self._turn:
            fits = await asyncio.to_thread((hashed or NOBODY).matches, given)
        if hashed is not None and fits and self._users.get(name) is hashed:
            self._good[name] = digest
            self._refused.discard(name)
            return True
        self._tell_refused(name)
        return False

    def _tell_refused(self, name: str) -> None:
        if name not in self._refused and len(self._refused) < NAMED_REFUSALS:
            self._refused.add(name)
            log.warning("a client was refused: wrong name or password (name %r)", name[:64])

    def _read_again(self) -> None:
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._users = read_users(self._path)
        except CorrectFiles as err:
            log.error("the users stay as they were: %s", err)  # noqa: TRY400 - the line says all
            return
        self._good.clear()
        log.info("%s: %d users", self._path, len(self._users))

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino
