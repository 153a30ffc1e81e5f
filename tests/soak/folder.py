"""Where a soak on the wire keeps its logs: they stay when a promise was broken."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any


def in_folder(soak: Callable[[Path], Coroutine[Any, Any, bool]]) -> bool:
    """Soak in a folder of its own; say whether every promise was kept."""
    folder = (Path(".bench") / secrets.token_hex(4)).absolute()
    folder.mkdir(parents=True)
    good = asyncio.run(soak(folder))
    if good:
        shutil.rmtree(folder)
    else:
        print(f"logs are kept in {folder}")
    return good
