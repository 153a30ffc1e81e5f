"""Mounts of a test's own: in a mount namespace, where this user may have one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IN_NAMESPACE = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])


def need_namespace(tmp_path: Path) -> None:
    """Skip, by name, where no file system can be mounted."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        pytest.skip("unshare and mount are not installed: apt install util-linux mount")
    probe = [*IN_NAMESPACE, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount in a namespace of its own (unshare --mount)")


def tell(story: str, folder: Path) -> str:
    """Have a story told by a process in a namespace of its own. Gives what it wrote."""
    told = subprocess.run(
        [*IN_NAMESPACE, sys.executable, "-m", story, str(folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout
