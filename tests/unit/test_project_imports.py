"""The rooms: each import-linter contract holds, and core needs the standard library alone."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
# What wires the others may import them all.
WIRES = {"gateway.cli", "gateway.commands", "gateway.demo", "gateway.__main__"}


def _rooms() -> set[str]:
    rooms = {f"gateway.{path.stem}" for path in (ROOT / "gateway").glob("*.py")}
    rooms |= {f"gateway.{path.parent.name}" for path in (ROOT / "gateway").glob("*/__init__.py")}
    rooms |= {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return rooms - {"gateway", "gateway.__init__"}


def test_every_room_has_its_contract() -> None:
    guarded = {source for contract in CONTRACTS for source in contract["source_modules"]}
    assert _rooms() - WIRES - guarded == set()


def test_every_contract_is_kept() -> None:
    result = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            *("--config", ROOT / "pyproject.toml", "--no-cache", "--no-logo"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


def test_whatever_calls_itself_pure_is_kept_pure() -> None:
    (pure,) = [contract for contract in CONTRACTS if contract["id"] == "pure"]
    claimed = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("gateway", "drivers")
        for path in (ROOT / room).rglob("*.py")
        if path.read_text(encoding="utf-8").startswith('"""PURE')
    }
    assert claimed
    assert claimed - set(pure["source_modules"]) == set()


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize(
    "path", sorted((ROOT / "gateway" / "core").glob("*.py")), ids=lambda path: path.stem
)
def test_core_needs_the_standard_library_alone(path: Path) -> None:
    foreign = {
        name
        for name in _imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not name.startswith("gateway.core")
    }
    assert foreign == set()
