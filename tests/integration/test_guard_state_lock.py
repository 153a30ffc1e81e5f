"""One state directory has one guard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.errors import (
    FixInstallation,
)
from gateway.guard.state_lock import StateLock

ROOT = Path(__file__).parents[2]


def test_one_state_directory_has_one_guard(tmp_path: Path) -> None:
    with (
        StateLock(tmp_path),
        pytest.raises(FixInstallation, match=f"process {os.getpid()}"),
    ):
        StateLock(tmp_path)
    StateLock(tmp_path).release()


def test_the_lock_of_a_killed_guard_is_free(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path;"
        "from gateway.guard.state_lock import StateLock; lock = StateLock(Path(sys.argv[1]));"
        "print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(FixInstallation, match=f"process {child.pid}"):
        StateLock(tmp_path)
    child.kill()
    child.wait(30)
    child.stdout.close()
    StateLock(tmp_path).release()
