"""What every test runs under: no sockets in unit tests, and optional programs skipped by name."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

UNIT = Path(__file__).parent / "unit"

# Marker -> (program, Debian package). A test that needs one says so with the marker.
OPTIONAL_PROGRAMS = {
    "mosquitto": ("mosquitto", "mosquitto"),
}

# Daemons live in sbin, which is on few people's path.
_PLACES = "/usr/local/sbin:/usr/sbin:/sbin"


# Examples are judged by what they show: how long one takes is the machine's affair.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def _is_installed(program: str) -> bool:
    return bool(shutil.which(program) or shutil.which(program, path=_PLACES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by the program's name, what this machine can't run."""
    for marker, (program, package) in OPTIONAL_PROGRAMS.items():
        if _is_installed(program):
            continue
        skip = pytest.mark.skip(reason=f"{program} is not installed: apt install {package}")
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(skip)


def _refuse(method: str) -> Callable[..., None]:
    def refused(*call: object) -> None:
        raise AssertionError(f"unit tests open no sockets: {method} of {call[0]}")

    return refused


@pytest.fixture(autouse=True)
def _no_sockets_in_unit_tests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make connect and bind raise. asyncio's own socketpair needs neither, and still works."""
    if UNIT in request.path.parents:
        for method in ("bind", "connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, method, _refuse(method))
