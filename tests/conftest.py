"""What every test runs under: no sockets in unit tests, and optional programs skipped by name."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.ahead import Ahead

UNIT = Path(__file__).parent / "unit"

# Marker -> (program, Debian package). A test that needs one says so with the marker.
OPTIONAL_PROGRAMS = {
    "mosquitto": ("mosquitto", "mosquitto"),
}

AHEAD = pytest.StashKey[Ahead]()

# Daemons live in sbin, which is on few people's path.
_PLACES = "/usr/local/sbin:/usr/sbin:/sbin"


# Examples are judged by what they show: how long one takes is the machine's affair.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def _is_installed(program: str) -> bool:
    return bool(shutil.which(program) or shutil.which(program, path=_PLACES))


def _runs_ahead(item: pytest.Item) -> bool:
    return item.get_closest_marker("ahead") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by the program's name, what this machine can't run; ask last what runs ahead."""
    items.sort(key=_runs_ahead)
    for marker, (program, package) in OPTIONAL_PROGRAMS.items():
        if _is_installed(program):
            continue
        skip = pytest.mark.skip(reason=f"{program} is not installed: apt install {package}")
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin what runs ahead."""
    tests = [each.nodeid for each in session.items if _runs_ahead(each)]
    if len(session.items) == 1 or not tests or session.config.option.collectonly:
        return
    folder = Path(tempfile.mkdtemp(prefix="pilegate-ahead-"))
    session.config.stash[AHEAD] = ahead = Ahead(tests, folder)

    def end() -> None:
        ahead.end()
        shutil.rmtree(folder, ignore_errors=True)

    session.config.add_cleanup(end)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Take the result of what ran ahead, in place of running it."""
    ahead = pyfuncitem.config.stash.get(AHEAD, None)
    if ahead is None or not _runs_ahead(pyfuncitem):
        return None
    ended = ahead.wait(pyfuncitem.nodeid)
    if ended.skipped:
        pytest.skip(ended.skipped)
    if ended.status:
        pytest.fail(ended.output, pytrace=False)
    return True


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
