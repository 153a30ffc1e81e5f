from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.schemas.outlets import OutletOut
from gateway.core.errors import NotKnown
from gateway.link.messages import LatchView, LeaseView, OutletState
from gateway.serve.live import LiveOutlets
from tests.support.serving import view
from tests.support.shed import HandClock, small_site

LEASE = LeaseView(
    id="l", request_id="r", actor="a", reason="x", granted_utc_ms=1, until_utc_ms=2, power_w=9.5
)
LATCH = LatchView(reason="overpower", rule="overpower", release="operator", since_utc_ms=3)


def _live(folder: Path) -> LiveOutlets:
    return LiveOutlets(small_site(folder), HandClock())


def test_before_the_guard_is_heard_every_outlet_is_unknown(tmp_path: Path) -> None:
    live = _live(tmp_path)
    page, following = live.page(after=None, limit=200, wanted=None)
    assert following is None
    assert [shown.view.state for shown in page] == [OutletState.UNKNOWN] * 10
    assert not live.guard.reachable


def test_the_kept_json_is_what_the_document_promises(tmp_path: Path) -> None:
    live = _live(tmp_path)
    live.now_reachable("9.9")
    site = small_site(tmp_path)
    live.changed(
        [
            view(site, "n1-1", state=OutletState.ON, lease=LEASE, temperature_c=30.5),
            view(site, "n1-2", state=OutletState.CUT, latch=LATCH, locks=("pile/n1",)),
        ]
    )
    for shown in live.page(after=None, limit=200, wanted=None)[0]:
        parsed = OutletOut.model_validate_json(shown.json, strict=True)
        assert parsed.id == shown.view.outlet
        assert parsed.state == shown.view.state.value
        assert parsed.model_dump() == json.loads(shown.json)
    assert live.one("n1-1").in_use
    assert not live.one("n1-2").in_use


def test_while_the_guard_is_away_values_keep_their_own_time(tmp_path: Path) -> None:
    live = _live(tmp_path)
    live.now_reachable("9.9")
    live.changed([view(small_site(tmp_path), "n1-1", state=OutletState.ON, power_w=120.0)])
    live.now_away("guard is not running")
    shown = json.loads(live.one("n1-1").json)
    assert shown["state"] == "unknown"
    assert shown["stale"]
    assert shown["power_w"] == 120.0
    assert shown["sample_utc_ms"] == 1_790_000_000_000
    assert live.guard.detail == "guard is not running"
    since = live.guard.since_utc_ms
    live.now_away("still not running")
    assert live.guard.since_utc_ms == since
    live.now_reachable("9.9")
    assert live.one("n1-1").view.state is OutletState.UNKNOWN


def test_pages_join_to_the_whole_in_the_order_of_the_site_file(tmp_path: Path) -> None:
    live = _live(tmp_path)
    seen: list[str] = []
    after: str | None = None
    while True:
        page, after = live.page(after=after, limit=3, wanted=None)
        seen += [shown.view.outlet for shown in page]
        if after is None:
            break
    assert seen == [str(outlet.id) for outlet in small_site(tmp_path).outlets]
    with pytest.raises(NotKnown):
        live.page(after="n9", limit=3, wanted=None)


def test_a_filter_never_gives_an_empty_page_with_more_behind_it(tmp_path: Path) -> None:
    live = _live(tmp_path)
    page, following = live.page(after=None, limit=2, wanted=lambda shown: shown.view.pile == "n2")
    assert [shown.view.outlet for shown in page] == ["n2-6", "n2-7"]
    assert following == "n2-7"


def test_counts_sum_up(tmp_path: Path) -> None:
    live = _live(tmp_path)
    live.now_reachable("9.9")
    site = small_site(tmp_path)
    states = [*OutletState, OutletState.ON]
    live.changed(
        [
            view(site, outlet.id, state=state)
            for outlet, state in zip(site.outlets, states, strict=False)
        ]
    )
    counts = live.counts("site", "shed")
    assert counts.total == 10
    parts = (counts.free, counts.in_use, counts.cut, counts.locked, counts.unknown)
    assert parts == (1, 5, 1, 1, 2)
    with pytest.raises(NotKnown):
        live.counts("pile", "n9")


def test_outlets_that_the_site_file_lacks_are_passed_over(tmp_path: Path) -> None:
    live = _live(tmp_path)
    stranger = view(small_site(tmp_path), "n1-1")
    live.changed(
        [type(stranger)(outlet="x", name="x", pile="p", station="s", state=OutletState.ON)]
    )
    assert len(live.page(after=None, limit=200, wanted=None)[0]) == 10
