"""What a clone needs: a lock for every platform, one version, data inside the wheel."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked() -> dict[str, tuple[str, list[str]]]:
    """Name -> (version, hashes) of every requirement in the lock."""
    found = {}
    for entry in re.split(r"\n(?=[a-z])", LOCK):
        match = re.match(r"([a-z0-9._-]+)==([^\s;]+)", entry)
        assert match is not None, f"not a pinned requirement: {entry[:60]!r}"
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry)
        found[_normal(match[1])] = (match[2], hashes)
    return found


def _named(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {_normal(name[0]) for name in names if name is not None}


def test_lock_holds_everything_that_the_project_asks_for() -> None:
    project = PROJECT["project"]
    wanted = _named(project["dependencies"] + PROJECT["build-system"]["requires"])
    for extra in project["optional-dependencies"].values():
        wanted |= _named(extra)
    assert wanted - set(_locked()) == set()


def test_lock_pins_every_file_by_hash() -> None:
    assert [name for name, (_, hashes) in _locked().items() if not hashes] == []


@pytest.mark.parametrize("word", ["://", "index-url", "find-links", "file:", "@ "])
def test_lock_names_no_index_and_no_path(word: str) -> None:
    assert word not in LOCK


# Packages with compiled parts: one file for each Python and platform, so a lock that was made
# for one machine alone would hold one or two hashes of them.
@pytest.mark.parametrize(
    "package", ["pydantic-core", "uvloop", "sqlalchemy", "pyyaml", "asyncpg", "mypy", "ruff"]
)
def test_lock_holds_hashes_for_many_platforms(package: str) -> None:
    _, hashes = _locked()[package]
    assert len(hashes) >= 8


def test_installed_version_is_the_project_s() -> None:
    assert importlib.metadata.version("pilegate") == PROJECT["project"]["version"]


def test_wheel_holds_every_room_and_the_data() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(wheel["packages"]) == rooms
    assert wheel["force-include"] == {"config": "gateway/config/data"}


def test_an_installed_program_finds_its_profiles(tmp_path: Path) -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for room in wheel["packages"]:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in wheel["force-include"].items():
        shutil.copytree(ROOT / source, tmp_path / target)
    program = (
        "from gateway.config.profile_files import BUILT_IN\n"
        "from simulators.sites import BUILT_IN_PROFILES\n"
        "print(BUILT_IN, BUILT_IN_PROFILES, sep='\\n')"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    expected = str(tmp_path / "gateway" / "config" / "data" / "profiles")
    assert result.stdout.split() == [expected, expected]


def test_every_optional_marker_says_what_to_install() -> None:
    text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    ini = PROJECT["tool"]["pytest"]["ini_options"]
    markers = {marker.partition(":")[0] for marker in ini["markers"] if ": needs " in marker}
    assert markers == set(re.findall(r'^    "(\w+)": \("', text, re.MULTILINE))


def test_ci_installs_what_optional_tests_want() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    packages = re.search(r"^OPTIONAL_PACKAGES=\((.*)\)$", script, re.MULTILINE)
    assert packages is not None
    text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    assert set(packages[1].split()) >= set(re.findall(r'\("\w+", "([\w-]+)"\)', text))


def test_every_ruff_exception_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignored = text[text.index("ignore = [") : text.index("[tool.ruff.lint.per-file-ignores]")]
    bare = [line for line in ignored.splitlines() if line.startswith('  "') and "#" not in line]
    assert bare == []
