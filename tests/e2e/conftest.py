"""Scenarios are played while other tests run: they mostly wait, and are asked for last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.run_scenario import Played, Plays, Show, playing


def _show_of(item: pytest.Item) -> Show | None:
    """Give what a test wants to have been played."""
    show = getattr(getattr(item, "callspec", None), "params", {}).get("show")
    return show if isinstance(show, Show) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _show_of(item) is not None)


@pytest.fixture(scope="session", autouse=True)
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plays]:
    """Begin with what was selected, in the order in which tests ask for it."""
    shows = filter(None, map(_show_of, request.session.items))
    with playing(shows, tmp_path_factory.mktemp) as begun:
        yield begun


@pytest.fixture
def played(plays: Plays, show: Show) -> Played:
    return plays.wait(show)
