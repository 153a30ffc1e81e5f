"""YAML files: plain data with lines, and one clear line for everything that is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from gateway.config import yaml_source
from gateway.config.yaml_source import MAX_BYTES, KeyPath, Source, key_text, parse_yaml, read_yaml
from gateway.core.errors import CorrectFiles

LOADERS = [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)]


@pytest.fixture(autouse=True, params=LOADERS, ids=["python", "libyaml"])
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "_LOADER", request.param)


def refused(text: bytes | str) -> str:
    with pytest.raises(CorrectFiles) as caught:
        parse_yaml(text, "f")
    return str(caught.value)


def data(text: str) -> object:
    return parse_yaml(f"v: {text}", "f").data["v"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-17", -17),
        ("+3", 3),
        ("0x1A", 26),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("2.", 2.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("text", "text"),
        ("1-10", "1-10"),
        ("-", "-"),
        ("[]", []),
        ("{}", {}),
        # YAML 1.1 reads these as booleans, numbers of base 8 and 60, and dates.
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("N", "N"),
        ("010", "010"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(text: str, value: object) -> None:
    if text == "-":
        text = "'-'"
    found = data(text)
    assert found == value
    assert type(found) is type(value)


def test_every_key_path_has_its_line() -> None:
    source = parse_yaml("a: 1\nb:\n  - {x: 1,\n     y: 2}\n  -\n    z:\n      3\n", "f")
    expected: dict[KeyPath, int] = {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 0, "x"): 3,
        ("b", 0, "y"): 4,
        ("b", 1): 6,
        ("b", 1, "z"): 6,
    }
    assert source.lines == expected
    assert source.line(("b", 1, "z", "missing", 3)) == 6
    assert source.line(("nothing",)) == 1


def test_problem_names_file_line_and_key() -> None:
    source = parse_yaml("a:\n  - b: 1\n", "site.yaml")
    assert str(source.problem(("a", 0, "b"), "wrong")) == "site.yaml:2: a[0].b: wrong"
    assert key_text(("a", 0, 1, "b", "c")) == "a[0][1].b.c"
    assert key_text(()) == ""


def test_anchors_aliases_and_merges_are_expanded() -> None:
    source = parse_yaml(
        "base: &b {p: 1, q: 2}\nlist: [*b, *b]\nover:\n  <<: *b\n  q: 3\n"
        "two:\n  <<: [{p: 9}, *b]\n",
        "f",
    )
    assert source.data["list"] == [{"p": 1, "q": 2}] * 2
    assert source.data["over"] == {"p": 1, "q": 3}
    assert source.data["two"] == {"p": 9, "q": 2}
    assert source.line(("list", 1, "q")) == 1
    assert source.line(("over", "q")) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1: the file is empty: it must hold keys with values"),
        ("# only this\n", "f:1: the file is empty: it must hold keys with values"),
        ("- 1\n", "f:1: the file holds a single value or a list: it must hold keys with values"),
        ("a: 1\nb: 2\na: 3\n", "f:3: a: written twice, first on line 1: remove one"),
        ("x:\n  - {k: 1, k: 2}\n", "f:2: x[0].k: written twice, first on line 2: remove one"),
        ("a: 1\n---\nb: 2\n", "f:2: a second document begins here: a file holds one"),
        ("a: 1\nb: *c\n", "f:2: *c is not defined above: write &c there"),
        ("a: !!python/name:os.system\n", "f:1: the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("a: !secret x\n", "f:1: the tag '!secret' is not allowed here"),
        ("? [1, 2]\n: 3\n", "f:1: a key must be one word"),
        ("a: {'': 1}\n", "f:1: a: a key is empty"),
        ("a: 1\nb: .inf\n", "f:2: b: .inf is not a finite number"),
        ("a: -.INF\n", "f:1: a: -.INF is not a finite number"),
        ("a: .nan\n", "f:1: a: .nan is not a finite number"),
        ("a: 1.0e999\n", "f:1: a: 1.0e999 is not a finite number"),
        (f"a: {'9' * 5000}\n", "f:1: a: a number of too many digits"),
        (f"a: 0x{'f' * 5000}\n", "f:1: a: a number of too many digits"),
        ("a:\n  <<: 5\n", "f:2: a: << takes a mapping, or a list of mappings"),
        ("a: &x [*x]\n", "f:1: nested deeper than 40 levels, with aliases"),
        ("a: &x\n  <<: *x\n", "f:1: too many mappings merged by <<"),
        ("a: " + "[" * 2000, "f:1: nested deeper than 40 levels"),
        ("a:\n" + "".join(f"{' ' * n}- \n" for n in range(1, 60)), "nested deeper than 40 levels"),
    ],
)
def test_what_is_refused_and_where(text: str, message: str) -> None:
    assert message in refused(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\nb: 3\n", 2),
        ("a: 'x\nb: 1\n", None),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\n b: 2\n", 2),
        ("a: 1\nb: }\n", 2),
        ("a: @b\n", 1),
    ],
)
def test_malformed_yaml_is_one_line_with_its_place(text: str, line: int | None) -> None:
    message = refused(text)
    assert "not valid YAML: " in message
    assert len(message.splitlines()) == 1
    if line is not None:
        assert message.startswith(f"f:{line}: ")


@pytest.mark.parametrize("text", ["a: 1\nb: \x07\n", "a: 1\nb: x\x00\n", "a: 1\nb: '\ud800'\n"])
def test_control_characters_are_refused(text: str) -> None:
    message = refused(text)
    assert len(message.splitlines()) == 1
    assert message.isprintable()


def test_all_errors_of_a_file_come_at_once() -> None:
    message = refused("a: 1\na: 2\nb: .inf\nc: {x: 1, x: 2}\nd: !t 1\n")
    assert [line.split(":")[1] for line in message.splitlines()] == ["5", "2", "3", "4"]


def test_aliases_can_not_blow_up() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "with aliases counted" in refused("\n".join(levels))


def test_merges_can_not_blow_up() -> None:
    levels = ["a0: &a0 {}"]
    levels += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    assert "too many mappings merged by <<" in refused("\n".join(levels))


def test_bytes_that_are_not_utf_8_are_refused_with_their_line() -> None:
    assert refused(b"a: 1\nb: \xff\xfe\n") == "f:2: not UTF-8 text: save the file as UTF-8"
    assert refused("a: é".encode("utf-16")).startswith("f:1: not UTF-8")


def test_byte_order_mark_is_allowed() -> None:
    assert parse_yaml(b"\xef\xbb\xbfa: 1\n", "f").data == {"a": 1}


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: ü\r\nb: 2\r\n", encoding="utf-8")
    assert read_yaml(path) == Source(str(path), {"a": "ü", "b": 2}, {(): 1, ("a",): 1, ("b",): 2})


def test_files_that_can_not_be_read_say_why(tmp_path: Path) -> None:
    fifo, big = tmp_path / "fifo", tmp_path / "big.yaml"
    os.mkfifo(fifo)
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    cases = {
        tmp_path / "none.yaml": "no such file: check the path",
        tmp_path: "not a regular file: name a YAML file",
        fifo: "not a regular file: name a YAML file",
        big: "larger than 4 MiB: split the site",
        big / "x": "can't be read: Not a directory",
        loop: "can't be read: Too many levels of symbolic links",
        Path("a\0b"): "can't be read: embedded null byte",
        tmp_path / ("x" * 300): "can't be read: File name too long",
    }
    for path, message in cases.items():
        with pytest.raises(CorrectFiles) as caught:
            read_yaml(path)
        assert str(caught.value) == f"{path}: {message}"


def test_a_file_of_somebody_else_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n", encoding="utf-8")

    def refuse(*_call: object) -> None:
        raise PermissionError(
            13, "Permission denied"
        )  # root, who runs some tests, is never refused

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorrectFiles, match="may not be read by this user: check owner and mode"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:\n\tb: 1\n", "f:2: not valid YAML: a line begins with a tab: indent with spaces"),
        ("a:\n  - 1\n\t- 2\n", "f:3: not valid YAML: a line begins with a tab: indent with"),
        ("a: 1\nb: 'x\nc: 1\nd: 2\n", "f:5: not valid YAML: while scanning a quoted scalar that "),
        ("a: {b: 1\nc: 1\n", "f:2: not valid YAML: while parsing a flow mapping that begins on"),
    ],
)
def test_an_error_of_form_says_where_it_begins(text: str, told: str) -> None:
    assert refused(text).startswith(told)
