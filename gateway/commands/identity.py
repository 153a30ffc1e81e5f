"""Who gives a command: recorded with everything the guard does for it."""

from __future__ import annotations

import os
import pwd


def actor() -> str:
    """Name the person: the login of the terminal, which sudo keeps, else the user."""
    try:
        name = os.getlogin()
    except OSError:  # no terminal: a service, a job
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = str(os.getuid())
    return f"cli:{name}"
