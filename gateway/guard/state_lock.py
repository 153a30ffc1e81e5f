"""One guard owns a state directory: two would switch against each other."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from gateway.core.errors import FixInstallation

LOCK_NAME = "guard.lock"


class StateLock:
    """Held as long as the process lives, or until ``release``; the kernel frees it after a kill."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock.

        Raises FixInstallation when another guard holds it, or the directory can't be used.
        """
        path = state_dir / LOCK_NAME
        try:
            state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as err:
            raise FixInstallation(
                f"{path}: {err.strerror}: give the guard a state directory it may write to"
            ) from err
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise FixInstallation(
                f"{state_dir}: another guard is running on it (process {holder}): "
                "stop that one first"
            ) from None
        except OSError as err:
            os.close(self._fd)
            raise FixInstallation(f"{path}: {err.strerror}: check the disk") from err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let another guard start. The file stays: removing it would race with that one."""
        os.close(self._fd)
