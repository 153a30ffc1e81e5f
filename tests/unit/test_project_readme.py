"""What the README tells people to type exists: commands, flags, targets, folders, the site file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import pytest
from fastapi.routing import APIRoute

from api.routes import buses, commands, events, groups, operations, outlets
from api.schemas.commands import CommandIn, WaitQuery
from api.schemas.outlets import OutletQuery
from gateway.cli import COMMANDS, cli
from gateway.config import load_site

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAPERS = {
    path: (ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "systemd/README.md")
}


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _shell_lines() -> Iterator[str]:
    for text in PAPERS.values():
        for block in _blocks("sh", text):
            yield from block.replace("\\\n", " ").splitlines()


def _pilegate_calls() -> list[list[str]]:
    """Every call of pilegate in a shell block: its words after the program's name."""
    calls = [re.findall(r"(?:^|\$\(|bin/)pilegate ([^)#]*)", line) for line in _shell_lines()]
    return [shlex.split(call) for found in calls for call in found]


def _names(command: click.Command) -> set[str]:
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}


def _resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Follow the words of a call to its command; gives it and the flags that were used."""
    command: click.Command = cli
    flags = []
    rest = [*words]
    context = click.Context(cli)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            flags.append(word)
            option = next((param for param in command.params if word in param.opts), None)
            if rest and isinstance(option, click.Option) and not option.is_flag:
                rest.pop(0)
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            assert found is not None, f"pilegate has no command {word!r}"
            command = found
    return command, flags


def test_there_are_calls_to_check() -> None:
    assert len(_pilegate_calls()) >= 6


@pytest.mark.parametrize("words", _pilegate_calls(), ids=" ".join)
def test_commands_and_flags_exist(words: list[str]) -> None:
    command, flags = _resolve(words)
    known = _names(command) | _names(cli) | {"--help"}
    assert set(flags) - known == set()


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)\b", README, re.MULTILINE)))
)
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"Makefile has no target {target}"


def test_every_target_for_people_is_described() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    parts_of_check = {"help", "lint", "types", "imports"}
    assert set(phony[1].split()) - parts_of_check <= set(re.findall(r"`make (\w+)", README))


def test_commands_named_in_the_text_exist() -> None:
    named = set(re.findall(r"`pilegate ([a-z][a-z-]*)", "".join(PAPERS.values())))
    assert named - set(COMMANDS) == set()


def _curl_calls() -> list[tuple[str, str, dict[str, list[str]], str | None]]:
    """Method, path, query and body of every curl line."""
    calls = []
    for line in _shell_lines():
        if not line.startswith("curl "):
            continue
        words = shlex.split(line.replace("$API", "http://api/v1"))
        body = words[words.index("--json") + 1] if "--json" in words else None
        url = urlsplit(words[-1])
        calls.append(("GET" if body is None else "POST", url.path, parse_qs(url.query), body))
    return calls


ROUTES = [
    route
    for room in (buses, commands, events, groups, operations, outlets)
    for route in room.router.routes
    if isinstance(route, APIRoute)
]


def test_the_api_is_shown_in_five_lines() -> None:
    assert len(_curl_calls()) == 5


@pytest.mark.parametrize("call", _curl_calls(), ids=lambda call: f"{call[0]} {call[1]}")
def test_requests_of_the_readme_are_understood(
    call: tuple[str, str, dict[str, list[str]], str | None],
) -> None:
    method, path, query, body = call
    found = [
        route
        for route in ROUTES
        if route.path_regex.match(path) and method in (route.methods or set())
    ]
    assert found, f"the API has no {method} {path}"
    if path.endswith("/outlets"):
        OutletQuery.model_validate({name: values[0] for name, values in query.items()})
    elif path.endswith("/commands"):
        assert body is not None
        CommandIn.model_validate_json(body)
        WaitQuery.model_validate({name: values[0] for name, values in query.items()})
    else:
        assert query == {}


def test_the_first_site_file_loads(tmp_path: Path) -> None:
    text = _blocks("yaml")[0]
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    site = load_site(tmp_path / "site.yaml")
    assert len(site.outlets) == 10
    assert site.outlet("n1-3").pile == "n1"


def test_feeds_and_interlocks_of_the_readme_fit_the_first_site(tmp_path: Path) -> None:
    first, feeds, interlocks = _blocks("yaml")
    devices = (
        "  - {id: sdm1, bus: line1, unit: 2, profile: sdm120}\n"
        "  - {id: k1, bus: line1, unit: 3, profile: waveshare-relay-d-contactor}\n"
        "  - {id: io1, bus: line1, unit: 4, profile: waveshare-io-8}\n"
    )
    text = first.replace("stations:\n", f"{devices}stations:\n") + feeds + interlocks
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    site = load_site(tmp_path / "site.yaml")
    main, north = site.circuits
    (smoke,) = site.interlocks
    assert (len(smoke.outlets), smoke.circuits) == (10, ("north-l1",))
    assert (main.id, north.parent, north.phase) == ("main", "main", "L1")


def test_the_first_site_file_is_short() -> None:
    text = _blocks("yaml")[0]
    assert len(text.splitlines()) <= 10


@pytest.mark.parametrize("path", sorted(PAPERS))
def test_links_lead_somewhere(path: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", PAPERS[path]):
        assert (ROOT / path).parent.joinpath(target).exists(), target


def test_folders_that_the_readme_names_exist() -> None:
    table = README[README.index("| folder |") :]
    for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for folder in re.findall(r"`([^`]+)`", line):
            assert (ROOT / folder).is_dir(), folder


def test_figures_of_python_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.11"' in project
    assert "Python 3.11 or newer" in README
    assert "Python 3.11 or newer" in MAKEFILE
