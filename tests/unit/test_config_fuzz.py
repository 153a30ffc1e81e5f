"""Whatever stands in a file, loading it gives a site, a profile or CorrectFiles."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import load_profile, load_site
from gateway.config.profile_files import BUILT_IN
from gateway.config.yaml_source import parse_yaml, read_yaml
from gateway.core.errors import CorrectFiles, Problem

SITE = (Path(__file__).parents[2] / "config" / "sites" / "shed.yaml").read_text(encoding="utf-8")
PROFILE = (BUILT_IN / "pilegate-ref10.yaml").read_text(encoding="utf-8")

PIECES = [
    *"\n\n:-[]{}&*!|>%@`'\"#,?~\t\x00\x07\x85é\ud800😀",
    "  ",
    ": ",
    "- ",
    "<<: ",
    "&a ",
    "*a",
    "!!binary ",
    ".nan",
    "1e999",
    "0x",
    "null",
    "on: ",
    "---\n",
]
Loader = Callable[[Path], object]
FILES: list[tuple[Loader, str]] = [(load_site, SITE), (load_profile, PROFILE)]

few = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["", "a\nb", "m1", "n1-1", "1-10", "{channel}", "{pile}-{channel}", "line1", "\x00"]
    ),
)
keys = st.sampled_from(["id", "a\nb", "\x1b[2J", "channel", "k" * 300]) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def load(loader: Loader, path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")
    problems: list[Problem] = []
    try:
        loader(path)
    except CorrectFiles as err:
        problems = err.problems
        lines = str(err).splitlines()
        assert lines == [str(problem) for problem in problems]
        assert lines
    for problem in problems:
        assert str(problem).startswith(str(path))
        assert str(problem).isprintable()


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = data.items() if isinstance(data, dict) else enumerate(data)
    if isinstance(data, dict | list):
        for key, inner in items:
            found += (
                paths_of(inner, (*path, key)) if isinstance(inner, dict | list) else [(*path, key)]
            )
    return found


SITE_DATA = parse_yaml(SITE, "site").data
PROFILE_DATA = read_yaml(BUILT_IN / "pilegate-ref10.yaml").data
SITE_PATHS = [path for path in paths_of(SITE_DATA) if path]
PROFILE_PATHS = [path for path in paths_of(PROFILE_DATA) if path]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(data))
    place = copy
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return copy


@few
@given(st.text(max_size=300))
def test_any_text_is_data_or_refused(text: str) -> None:
    with contextlib.suppress(CorrectFiles):
        parse_yaml(text, "f")


@few
@given(st.binary(max_size=300))
def test_any_bytes_are_data_or_refused(raw: bytes) -> None:
    with contextlib.suppress(CorrectFiles):
        parse_yaml(raw, "f")


@few
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_anything_made_of_yaml_s_own_signs_is_data_or_refused(pieces: list[str]) -> None:
    with contextlib.suppress(CorrectFiles):
        parse_yaml("".join(pieces), "f")


@pytest.mark.parametrize(("loader", "text"), FILES, ids=["site", "profile"])
@few
@given(data=st.data())
def test_a_damaged_file_is_loaded_or_refused(
    tmp_path: Path, loader: Loader, text: str, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(first + 60, len(text))))
    piece = "".join(data.draw(st.lists(st.sampled_from(PIECES), max_size=3)))
    load(loader, tmp_path / "pilegate-ref10.yaml", text[:first] + piece + text[last:])


@few
@given(path=st.sampled_from(SITE_PATHS), value=values)
def test_a_site_with_any_value_anywhere_is_loaded_or_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    load(load_site, tmp_path / "site.yaml", json.dumps(changed(SITE_DATA, path, value)))


@few
@given(path=st.sampled_from(PROFILE_PATHS), value=values)
def test_a_profile_with_any_value_anywhere_is_loaded_or_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    load(
        load_profile,
        tmp_path / "pilegate-ref10.yaml",
        json.dumps(changed(PROFILE_DATA, path, value)),
    )
