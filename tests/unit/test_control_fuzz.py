"""Whatever a client sends is answered by one well-formed line, and reaches no outlet by chance."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import CorrectInput, PilegateError
from gateway.guard.control_dispatch import Dispatcher
from gateway.link.decode import Fields
from gateway.link.requests import (
    FollowRequest,
    Method,
    OnRequest,
    RenewRequest,
    SnapshotRequest,
    TargetRequest,
)
from gateway.link.rpc import BadRequest, error_line, parse_request
from tests.support.control import RememberingService

# A busy machine is no fault of what is tested.
many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["o0000", "outlet", "site", "demo", "2.0"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELDS = (
    *("outlet", "for_s", "actor", "reason", "energy_wh", "power_w", "request_id", "lease_id"),
    *("target", "on_site", "outlets", "after", "limit", "facts_after", "views", "kind", "id"),
)
params = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8) | values


async def _follow(raw: object) -> bytes:
    FollowRequest.from_json(raw)
    return b"{}"


def _answer(line: bytes) -> dict[str, Any]:
    """Go the way of a line through the guard, without a socket."""
    try:
        request = parse_request(line)
    except BadRequest as err:
        answer = error_line(err.id, err)
    else:
        service = RememberingService.of(2)
        service.gate.set()
        answer = asyncio.run(Dispatcher(service).answer(request, _follow))
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    decoded: dict[str, Any] = json.loads(answer)
    assert ("result" in decoded) != ("error" in decoded)
    if "error" in decoded:
        error = decoded["error"]
        assert "\n" not in error["message"]
        assert error["data"]["code"] != "internal", "the guard failed at it"
    return decoded


@many
@given(st.binary(max_size=200))
@example(b'{"jsonrpc":"2.0","id":1,"method":"on","params":' + b'[{"a":' * 2_000)
def test_any_bytes_get_one_line(line: bytes) -> None:
    assert "error" in _answer(line)


@many
@given(values)
def test_any_json_gets_one_line(value: object) -> None:
    assert "error" in _answer(json.dumps(value).encode())


@many
@given(st.sampled_from([*Method]) | st.text(max_size=10), params)
def test_any_parameters_get_a_result_or_an_error_that_says_where(method: str, raw: object) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": raw})
    answer = _answer(line.encode())
    assert answer["id"] == (7 if 1 <= len(method) <= 64 else answer["id"])


@many
@given(params)
def test_what_is_read_is_written_as_it_was_read(raw: object) -> None:
    readers = (
        OnRequest.from_json,
        RenewRequest.from_json,
        TargetRequest.from_json,
        lambda value: TargetRequest.from_json(value, reset=True),
    )
    for read in readers:
        try:
            request = read(raw)
        except PilegateError:
            continue
        assert read(request.to_json()) == request


@many
@given(
    st.fixed_dictionaries(
        {"outlet": st.just("o0000"), "for_s": st.floats(1, 86_400), "actor": st.just("ann")},
        optional={"energy_wh": st.floats(), "power_w": st.floats(), "reason": st.text()},
    )
)
def test_only_figures_within_bounds_reach_an_outlet(raw: dict[str, Any]) -> None:
    try:
        request = OnRequest.from_json(raw)
    except PilegateError:
        return
    assert 1 <= request.for_s <= 86_400
    assert request.energy_wh is None or 0 < request.energy_wh <= 1_000_000
    assert request.power_w is None or 0 < request.power_w <= 30_000
    assert request.reason.isprintable()


@many
@given(st.lists(st.text(max_size=70), max_size=5), st.integers(-3, 300))
def test_a_page_is_bounded(names: list[str], limit: int) -> None:
    for raw in ({"outlets": names}, {"limit": limit}):
        try:
            request = SnapshotRequest.from_json(raw)
        except PilegateError:
            continue
        assert 1 <= request.limit <= 200
        assert len(request.outlets or ()) <= 200


@many
@given(values)
def test_reading_fields_of_anything_never_breaks(value: object) -> None:
    fields = set()
    for name in ("text", "integer", "number", "boolean", "token", "name", "mapping", "inner"):
        try:
            getattr(Fields({"x": value}), name)("x")
        except CorrectInput as err:
            fields.add(err.field)
    assert fields <= {"x"}
