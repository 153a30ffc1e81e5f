"""A pseudo-terminal that looks like a serial port under a name of its own."""

from __future__ import annotations

import errno
import fcntl
import os
import tty
from contextlib import suppress
from pathlib import Path

from gateway.core.errors import FixInstallation

READ_BYTES = 1_024


class PtyPort:
    """The device's side of a line; ``path`` becomes a symbolic link to the other side."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._master = -1
        self._slave = -1
        self._linked = False
        self._made_folder = False

    def open(self) -> str:
        """Make the pseudo-terminal, the link and its folder; gives the terminal's name.

        Raises FixInstallation when there is no pseudo-terminal, when something else stands at
        the path, or when another simulator holds it.
        """
        self._check_free()
        try:
            self._master, self._slave = os.openpty()
            # Held open for ever, so that a gateway may come and go without an error here.
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            fcntl.lockf(self._slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name = os.ttyname(self._slave)
        except OSError as err:
            self.close()
            raise FixInstallation(
                f"no pseudo-terminal can be had for {self._path} ({err.strerror}):"
                " look whether /dev/ptmx may be opened"
            ) from err
        try:
            self._made_folder = not self._path.parent.exists()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.symlink_to(name)
        except OSError as err:
            self.close()
            raise FixInstallation(
                f"{self._path} can't be made a link to {name} ({err.strerror}):"
                " choose a port path in a folder that may be written"
            ) from err
        self._linked = True
        return name

    def fileno(self) -> int:
        return self._master

    def read(self) -> bytes:
        """Take what the gateway has written; empty when nothing is there."""
        try:
            return os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as err:
            if err.errno == errno.EIO:
                return b""
            raise

    def write(self, data: bytes) -> bool:
        """Hand bytes to the gateway; False when nobody took the earlier ones."""
        try:
            return os.write(self._master, data) == len(data)
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Remove the link, and its folder if it was made for it; close both sides."""
        if self._linked:
            self._linked = False
            self._path.unlink(missing_ok=True)
            if self._made_folder:
                with suppress(OSError):  # somebody else's file is in it now
                    self._path.parent.rmdir()
        for descriptor in (self._slave, self._master):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def _check_free(self) -> None:
        """Remove a link that a killed simulator left. Raises FixInstallation."""
        if not self._path.is_symlink():
            if self._path.exists():
                raise FixInstallation(
                    f"{self._path} is there already and is no simulator's port: choose another"
                )
            return
        if self._path.exists() and _is_held(self._path):
            raise FixInstallation(
                f"{self._path} belongs to another running simulator: end it, or choose another"
            )
        self._path.unlink()


def _is_held(path: Path) -> bool:
    """Say whether a terminal is the port of a simulator that runs."""
    if not str(path.resolve()).startswith("/dev/pts/"):
        raise FixInstallation(f"{path} is a link to something else: choose another port path")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
