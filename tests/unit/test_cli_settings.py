"""Where the command line finds the site file and the state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cli import run
from gateway.commands import settings as module
from gateway.commands.settings import DEFAULT_STATE_DIR, Settings
from gateway.core.errors import CorrectFiles, CorrectInput

MINIMAL = """\
site: {id: demo, name: Demo}
STATE
buses: [{id: net1, kind: modbus-tcp, host: 127.0.0.1, port: 5020}]
devices: [{id: m1, bus: net1, unit: 1, profile: pilegate-ref10}]
stations:
  - id: north
    name: North
    piles: [{id: n1, module: {device: m1, channels: 1-10, outlets: "n1-{channel}"}}]
"""


def site_file(folder: Path, state: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(MINIMAL.replace("STATE", state), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "line",
    [
        "state_dir: ./state",
        'state_dir: "./state"  # beside the site file',
        "'state_dir' : state",
        "state_dir: &here state",
    ],
)
def test_a_state_directory_is_found_without_validating_the_site(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Settings) -> None:
        raise AssertionError("the whole site was loaded")

    monkeypatch.setattr(Settings, "site", refuse)
    settings = Settings(site_option=site_file(tmp_path, line))
    assert settings.state_dir() == tmp_path / "state"


@pytest.mark.parametrize(
    "line",
    ["", "# state_dir: ./comment", "serve:\n  state_dir: ./inner"],
)
def test_without_one_it_is_the_default(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "site", lambda _self: pytest.fail("the whole site was loaded"))
    assert Settings(site_option=site_file(tmp_path, line)).state_dir() == DEFAULT_STATE_DIR


@pytest.mark.parametrize("line", ["state_dir:\n  ./state", "state_dir: >-\n  ./state"])
def test_a_line_that_says_too_little_loads_the_site(tmp_path: Path, line: str) -> None:
    assert Settings(site_option=site_file(tmp_path, line)).state_dir() == tmp_path / "state"


def test_a_site_in_braces_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("# flow style\n\n{state_dir: ./state, site: {id: demo}}", encoding="utf-8")
    with pytest.raises(CorrectFiles):
        Settings(site_option=path).state_dir()


def test_the_quick_way_and_the_whole_way_agree(tmp_path: Path) -> None:
    for line in ("state_dir: ./state", "state_dir: /somewhere/else", ""):
        settings = Settings(site_option=site_file(tmp_path, line))
        assert settings.state_dir() == settings.site().state_dir


def test_the_option_wins_over_the_file(tmp_path: Path) -> None:
    settings = Settings(
        site_option=site_file(tmp_path, "state_dir: ./state"), state_dir_option=tmp_path / "mine"
    )
    assert settings.state_dir() == tmp_path / "mine"
    assert settings.site().state_dir == tmp_path / "mine"


def test_no_site_file_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "SITE_PLACES", (Path("site.yaml"), tmp_path / "etc.yaml"))
    with pytest.raises(CorrectInput, match=r"site\.yaml and .*etc\.yaml do not exist"):
        Settings().site_file()
    (tmp_path / "etc.yaml").touch()
    assert Settings().site_file() == tmp_path / "etc.yaml"
    (tmp_path / "site.yaml").touch()
    assert Settings().site_file() == Path("site.yaml")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--site", "OPTION", "check"],
        ["check", "--site", "OPTION"],
        ["check", "OPTION"],
    ],
)
def test_an_option_outranks_the_environment_wherever_it_stands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    path = site_file(tmp_path, "")
    monkeypatch.setenv("PILEGATE_SITE", str(tmp_path / "missing.yaml"))
    assert run(["check"]) == 2
    assert "missing.yaml: no such file: check the path" in capsys.readouterr().err
    assert run([str(path) if each == "OPTION" else each for each in arguments]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: site demo: 1 station, 1 pile, 10 outlets")


@pytest.mark.parametrize("command", [["check"], ["outlets"], ["off", "n1-1"], ["top"]])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.yaml", "no such file: check the path"),
        (".", "not a regular file: name a YAML file"),
        ("pipe", "not a regular file: name a YAML file"),
        ("loop", "can't be read: "),
        ("x" * 300, "can't be read: File name too long"),
        ("site.yaml/x", "can't be read: Not a directory"),
    ],
)
def test_a_path_that_holds_no_site_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    command: list[str],
    name: str,
    told: str,
) -> None:
    monkeypatch.setattr("gateway.commands.tables.can_draw", lambda: True)
    site_file(tmp_path, "")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    assert run(["--site", str(path), *command]) == 2
    assert capsys.readouterr().err.startswith(f"pilegate: {path}: {told}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("site: {id: shed-7, name: S}\nbuses: []\n", "shed-7"),
        ("buses: []\nsite:\n  name: S\n\n  id: shed-7\nother: 1\n", "shed-7"),
        ("site:\n  {id: shed-7,\n   name: S}\n", "shed-7"),
        ("site: {id: 7}\n", None),
        ("site: {name: S}\n", None),
        ("site: shed\n", None),
        ("site: {id: [\n", None),
        ("buses: [{id: shed-7}]\n", None),
    ],
)
def test_which_site_is_meant(tmp_path: Path, text: str, found: str | None) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    assert Settings(site_option=path).site_id() == found


def test_a_state_directory_alone_means_whatever_its_guard_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = site_file(tmp_path, "")
    assert Settings().site_id() == "demo"
    assert Settings(state_dir_option=tmp_path).site_id() is None
    assert Settings(state_dir_option=tmp_path, site_option=path).site_id() == "demo"
    path.unlink()
    assert Settings(site_option=path).site_id() is None
