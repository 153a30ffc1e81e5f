"""Which version of the program runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """Return the version of the installed program, or ``0`` from a bare source tree."""
    try:
        return version("pilegate")
    except PackageNotFoundError:
        return "0"
