"""Both event loops: what is promised on wires holds on either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

Loop = Callable[[Any], Any]

on_either_loop = pytest.mark.parametrize(
    "run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"]
)
