"""YAML as the simulators read it: what a site file may hold, and nothing that never ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load_site
from gateway.core.errors import CorrectFiles
from simulators.sites import read_site
from simulators.yaml_lines import MAX_VALUES, read_yaml


def write(folder: Path, text: str) -> Path:
    path = folder / "f.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(CorrectFiles) as caught:
        read_yaml(write(folder, text))
    return str(caught.value).removeprefix(f"{folder}/")


def test_mappings_are_merged_as_in_a_site_file(tmp_path: Path) -> None:
    text = (
        "base: &b {x: 1, y: 2}\nmore: &m {y: 5, z: 6}\none: {<<: *b, y: 3}\nall: {<<: [*b, *m]}\n"
    )
    data = read_yaml(write(tmp_path, text)).data
    assert data["one"] == {"x": 1, "y": 3}
    assert data["all"] == {"x": 1, "y": 2, "z": 6}
    assert refused(tmp_path, "one: {<<: 5}\n") == "f.yaml:1: one: << takes keys with values"


def test_aliases_of_aliases_come_to_an_end(tmp_path: Path) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )
    assert f"more than {MAX_VALUES} values, with aliases counted" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [*a]\n", "f.yaml:1: a[0]: refers to itself"),
        ("a: 1\na: 2\n", "f.yaml:2: a: stands here twice"),
        ("? [a]\n: 1\n", "f.yaml:1: a key must be a plain word"),
        ("- a\n", "f.yaml:1: must be a mapping"),
        (f"a: {'[' * 5_000}", "f.yaml: is nested too deeply"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert refused(tmp_path, text).startswith(told)


def test_every_outlet_of_an_example_site_is_simulated() -> None:
    """Also those that a module makes, and that are only named or limited below it."""
    path = Path(__file__).parents[2] / "config" / "sites" / "shed.yaml"
    found = {place.id for place in read_site(path).outlets}
    assert found == {str(outlet.id) for outlet in load_site(path).outlets}


def test_a_module_names_its_outlets_by_itself(tmp_path: Path) -> None:
    text = """
    buses: [{id: b, kind: modbus-tcp, host: 127.0.0.1}]
    devices: [{id: m, bus: b, unit: 1, profile: pilegate-ref10}]
    stations: [{id: s, piles: [{id: p, module: {device: m, channels: "1-2"}}]}]
    """
    assert [place.id for place in read_site(write(tmp_path, text)).outlets] == ["p-1", "p-2"]
