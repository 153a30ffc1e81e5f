"""A database's errors, named by what the caller must do about them."""

from __future__ import annotations

from sqlalchemy import exc

from gateway.core.errors import FixInstallation, PilegateError, TryLater


def translated(err: Exception, shown: str) -> PilegateError | None:
    """Return our error for ``err`` of the database ``shown``, or None if it is a program's fault.

    A constraint that was violated is a matter of the use case that knows what it means; it is
    not translated.
    """
    if isinstance(err, exc.TimeoutError):
        return TryLater(f"database {shown}: every connection is in use: try again")
    if isinstance(err, exc.DBAPIError):
        state = getattr(err.orig, "sqlstate", None)
        if isinstance(state, str):
            return _by_state(state, _message(err), shown)
        return _of_driver(str(err.orig).lower(), err, shown)
    if isinstance(err, OSError):
        return FixInstallation(f"database {shown}: {err}: start it, or correct serve.database")
    return None


def _message(err: exc.DBAPIError) -> str:
    """Give the server's own words, without the names of Python's classes."""
    return str(err.orig).rpartition(">: ")[2].partition("\n")[0]


def _by_state(state: str, message: str, shown: str) -> PilegateError | None:
    """Read an SQLSTATE (PostgreSQL's documentation, appendix A)."""
    if state.startswith(("28", "3D", "42501")):
        return FixInstallation(f"database {shown}: {message}: create it, or correct serve.database")
    if state == "25006":
        return FixInstallation(f"database {shown} is read-only: {message}: use its primary server")
    if state.startswith("53"):
        return FixInstallation(f"database {shown}: {message}: give its server room")
    if state.startswith(("08", "40", "55P03", "57P")):
        return TryLater(f"database {shown}: {message}: try again")
    return None


def _of_driver(text: str, err: exc.DBAPIError, shown: str) -> PilegateError | None:
    for words, error in (
        (
            "is locked",
            TryLater(f"database {shown} is locked: another program holds it; try again"),
        ),
        (
            "readonly",
            FixInstallation(
                f"database {shown} can't be written: make the disk and the file writable "
                "for this user"
            ),
        ),
        (
            "unable to open",
            FixInstallation(
                f"database {shown} can't be opened: make its folder exist and be writable "
                "for this user"
            ),
        ),
        (
            "is full",
            FixInstallation(f"database {shown}: the disk is full: free some space"),
        ),
        (
            "disk i/o error",
            FixInstallation(f"database {shown}: the disk does not answer: check the disk"),
        ),
        (
            "malformed",
            FixInstallation(f"database {shown} is damaged: restore a backup of it"),
        ),
        (
            "not a database",
            FixInstallation(f"{shown} is not a database: move it away or correct serve.database"),
        ),
    ):
        if words in text:
            return error
    if err.connection_invalidated:
        return TryLater(f"database {shown}: the connection was lost; try again")
    if isinstance(err, exc.InterfaceError):
        return TryLater(f"database {shown} does not answer: {text}")
    return None
