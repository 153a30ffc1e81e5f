"""How a command ends: its exit status, and its one line on stderr."""

from __future__ import annotations

import errno
from enum import IntEnum

from gateway.core.errors import (
    CorrectFiles,
    CorrectInput,
    FixInstallation,
    NotKnown,
    PilegateError,
    TryLater,
)


class Exit(IntEnum):
    """The exit statuses of ``pilegate``."""

    OK = 0
    FAILED = 1
    """Refused, or tried and failed."""
    WRONG_INPUT = 2
    """A wrong argument, or a wrong file that a person wrote."""
    NO_GUARD = 3
    """The guard is not running, does not answer in time, or asks to be asked later."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it: 128 + SIGINT."""


class GuardNotReachable(FixInstallation):
    """Nobody listens on the control socket."""


class Unsuccessful(PilegateError):
    """The command did its work, and the answer is no; says which part failed."""


def exit_of(error: PilegateError) -> Exit:
    """Choose the exit status for an error that a person may meet."""
    match error:
        case GuardNotReachable() | TryLater():
            return Exit.NO_GUARD
        case CorrectInput() | CorrectFiles() | NotKnown():
            return Exit.WRONG_INPUT
        case _:
            return Exit.FAILED


def line_of(error: PilegateError) -> str:
    """Write an error as one line; wrong files get a line for each problem."""
    if isinstance(error, CorrectFiles):
        return "\n".join(str(problem) for problem in error.problems)
    return " ".join(str(error).split())


def line_of_os_error(error: OSError) -> str:
    """Say in one line what the system refused, where, and what to do about it."""
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what[:1].lower()}{what[1:]}{_ADVICE.get(error.errno or 0, '')}"


_ADVICE = {
    errno.EACCES: " (run as the guard's user, or ask for the right)",
    errno.EPERM: " (run as the guard's user, or ask for the right)",
    errno.EROFS: " (the disk is mounted read-only: choose another place or remount it)",
    errno.ENOTDIR: " (a file stands where a folder is wanted: choose another place)",
    errno.ENAMETOOLONG: " (choose a shorter path)",
    errno.ENOSPC: " (the disk is full: free some space)",
    errno.EADDRINUSE: " (another program listens there: stop it or choose another port)",
}
