"""A small profile, which tests change here and there."""

from __future__ import annotations

from pathlib import Path

from gateway.config import load_profile
from gateway.config.profile import Profile

BASE = """\
profile: test
name: Test
source: a document
channels: 2
values:
  relay_on: {space: coil, address: 0, stride: 1}
  current_a: {space: input, address: 4, stride: 1, scale: 0.01}
relay: {style: coil, address: 0}
"""


def load(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "test.yaml"
    path.write_text(text, encoding="utf-8")
    return load_profile(path)
