"""mosquitto, the broker that most sites have. Tests that need it are marked ``mosquitto``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import PATIENCE_S

PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Daemons live in sbin, which is on few people's path."""

MOSQUITTO = shutil.which("mosquitto", path=PLACES) or "mosquitto"


@contextmanager
def mosquitto(folder: Path, port: int, *lines: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one on loopback. ``lines`` of its settings take the place of *everybody may enter*."""
    settings = folder / f"mosquitto-{port}.conf"
    told = [f"listener {port} 127.0.0.1", *(lines or ("allow_anonymous true",))]
    if os.geteuid() == 0:  # else it becomes a user who can't read the test's files
        told.append("user root")
    settings.write_text("\n".join((*told, "")), encoding="utf-8")
    broker = subprocess.Popen(
        [MOSQUITTO, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield broker
    finally:
        broker.terminate()
        broker.wait(timeout=PATIENCE_S)
