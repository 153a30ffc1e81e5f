"""YAML files that people write: plain data, and the line on which each key stands.

Built on the parser's event stream, which is a state machine: neither nesting nor aliases can
exhaust the stack or the memory. Scalars follow YAML 1.2 (only ``true`` and ``false`` are
booleans), because in YAML 1.1 the words ``on`` and ``off`` are, and this project's files are
full of them (``action: off``).
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from gateway.core.errors import CorrectFiles, Problem

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 400_000
"""All values of a file, with each alias counted as often as it is used."""
MAX_DIGITS = 18
LONGEST_KEY = 80
"""A longer key is cut in messages."""

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys of mappings, indexes of lists from 0."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAGS = {"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|[0-9]+[eE][-+]?[0-9]+)\Z"
)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Source:
    """One file's content: ``data`` in plain types, and the line (from 1) of every key path."""

    file: str
    data: dict[str, Any]
    lines: dict[KeyPath, int] = field(repr=False)

    def line(self, path: KeyPath) -> int:
        """Line of ``path``, or of the nearest thing around it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get((), 1)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Make a problem that points to ``path``."""
        return Problem(self.file, self.line(path), key_text(path), message)


def key_text(path: KeyPath) -> str:
    """Write a path as people do: ``buses[0].port`` (indexes count from 0)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.isprintable() else repr(part)
            shown = shown if len(shown) <= LONGEST_KEY else f"{shown[:LONGEST_KEY]}…"
            text += f".{shown}" if text else shown
    return text


def read_yaml(path: Path) -> Source:
    """Read one YAML file. Raises CorrectFiles with file and line, whatever the file holds."""
    return parse_yaml(_read_bytes(path), str(path))


def parse_yaml(raw: bytes | str, file: str) -> Source:
    """Read the text of a file called ``file``. Raises CorrectFiles, and nothing else."""
    text = _decode(raw, file) if isinstance(raw, bytes) else raw
    composer = _Composer(file)
    root = composer.compose(text)
    expander = _Expander(file, composer.problems)
    data = expander.expand(root, (), 0)
    if not expander.problems and not isinstance(data, dict):
        found = "is empty" if data is None else "holds a single value or a list"
        expander.problems.append(
            Problem(file, root.line, "", f"the file {found}: it must hold keys with values")
        )
    if expander.problems:
        raise CorrectFiles(expander.problems)
    assert isinstance(data, dict)
    return Source(file, data, expander.lines)


def _refuse(file: str, line: int | None, message: str) -> NoReturn:
    raise CorrectFiles([Problem(file, line, "", message)])


def _read_bytes(path: Path) -> bytes:
    file = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            _refuse(file, None, "not a regular file: name a YAML file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _refuse(file, None, "no such file: check the path")
    except PermissionError:
        _refuse(file, None, "may not be read by this user: check owner and mode")
    except (OSError, ValueError) as err:
        detail = err.strerror if isinstance(err, OSError) and err.strerror else err
        _refuse(file, None, f"can't be read: {detail}")
    if len(raw) > MAX_BYTES:
        _refuse(file, None, f"larger than {MAX_BYTES // 1024 // 1024} MiB: split the site")
    return raw


def _decode(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        _refuse(file, line, "not UTF-8 text: save the file as UTF-8")


@dataclass(slots=True)
class _Node:
    """One value as written: text for a scalar, nodes for a list or a mapping."""

    line: int
    text: str | None = None
    plain: bool = False
    tag: str | None = None
    items: list[_Node] | None = None
    pairs: list[tuple[_Node, _Node]] | None = None
    open_key: _Node | None = None

    def add(self, child: _Node) -> None:
        if self.items is not None:
            self.items.append(child)
        elif self.open_key is None:
            self.open_key = child
        else:
            assert self.pairs is not None
            self.pairs.append((self.open_key, child))
            self.open_key = None


def _events(text: str, file: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        _refuse(file, mark.line + 1 if mark else None, f"not valid YAML: {_words(err, text)}")
    except yaml.reader.ReaderError as err:
        line = text[: max(err.position, 0)].count("\n") + 1
        _refuse(file, line, "holds a control character, which YAML forbids: remove it")
    except (yaml.YAMLError, ValueError) as err:
        _refuse(file, None, f"not valid YAML: {str(err).splitlines()[0]}")


def _words(err: yaml.MarkedYAMLError, text: str) -> str:
    """Say what the parser found, and where what it could not finish begins."""
    found, begun = err.problem_mark, err.context_mark
    if found and text.splitlines()[found.line : found.line + 1]:
        line = text.splitlines()[found.line]
        if line[found.column : found.column + 1] == "\t" and not line[: found.column].strip():
            return "a line begins with a tab: indent with spaces"
    context = err.context or ""
    if begun and found and begun.line != found.line:
        context += f" that begins on line {begun.line + 1}"
    return ", ".join(part for part in (context, err.problem) if part)


class _Composer:
    """Builds the tree of nodes. An alias is a second reference to its anchor's node."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._anchors: dict[str, _Node] = {}
        self._top = _Node(1, items=[])
        self._open = [self._top]
        self._documents = 0

    def compose(self, text: str) -> _Node:
        """Read the whole text; an empty one gives an empty scalar."""
        for event in _events(text, self.file):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
                self._value(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._open.pop()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, line)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    _refuse(self.file, line, "a second document begins here: a file holds one")
        return self._top.items[0] if self._top.items else _Node(1, text="", plain=True)

    def _value(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        node = _node(event, line)
        if node.text is not None and not node.text.isascii() and _SURROGATE.search(node.text):
            _refuse(self.file, line, "half a character (\\ud800 to \\udfff): write it out")
        if node.tag is not None and node.tag not in _TAGS:
            message = f"the tag {node.tag[:60]!r} is not allowed here"
            self.problems.append(Problem(self.file, line, "", message))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._open[-1].add(node)
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append(node)
            if len(self._open) > MAX_DEPTH:
                _refuse(self.file, line, f"nested deeper than {MAX_DEPTH} levels")

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            name = str(event.anchor)[:60]
            _refuse(self.file, line, f"*{name} is not defined above: write &{name} there")
        self._open[-1].add(node)


def _node(event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> _Node:
    if isinstance(event, yaml.ScalarEvent):
        return _Node(line, text=event.value, plain=bool(event.implicit[0]), tag=event.tag)
    if isinstance(event, yaml.SequenceStartEvent):
        return _Node(line, tag=event.tag, items=[])
    return _Node(line, tag=event.tag, pairs=[])


class _Expander:
    """Turns nodes into plain data, and notes the line of every key path."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self.lines: dict[KeyPath, int] = {}
        self._count = 0

    def expand(self, node: _Node, path: KeyPath, depth: int) -> Any:
        """Give the plain data of ``node``, which stands at ``path``."""
        self._count += 1
        if self._count > MAX_NODES:
            _refuse(self.file, node.line, f"more than {MAX_NODES} values, with aliases counted")
        if depth > MAX_DEPTH:
            _refuse(self.file, node.line, f"nested deeper than {MAX_DEPTH} levels, with aliases")
        self.lines.setdefault(path, node.line)
        if node.text is not None:
            return self._scalar(node, path)
        if node.items is not None:
            return [
                self.expand(item, (*path, index), depth + 1)
                for index, item in enumerate(node.items)
            ]
        return self._mapping(node, path, depth)

    def _mapping(self, node: _Node, path: KeyPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        merged: list[_Node] = []
        for key_node, value in node.pairs or []:
            key = key_node.text
            if key is None or key == "":
                message = "a key must be one word" if key is None else "a key is empty"
                self.problems.append(Problem(self.file, key_node.line, key_text(path), message))
            elif key == "<<" and key_node.plain:
                merged.extend(self._merge_sources(value, path))
            elif key in first_lines:
                self.problems.append(
                    Problem(
                        self.file,
                        key_node.line,
                        key_text((*path, key)),
                        f"written twice, first on line {first_lines[key]}: remove one",
                    )
                )
            else:
                first_lines[key] = key_node.line
                self.lines[(*path, key)] = key_node.line
                data[key] = self.expand(value, (*path, key), depth + 1)
        for source in merged:
            # depth + 1: a mapping that merges itself must come to an end
            for key, value in self._mapping_at(source, path, depth + 1, set(data)).items():
                data.setdefault(key, value)
        return data

    def _merge_sources(self, value: _Node, path: KeyPath) -> list[_Node]:
        sources = value.items if value.items is not None else [value]
        if any(source.pairs is None for source in sources):
            message = "<< takes a mapping, or a list of mappings"
            self.problems.append(Problem(self.file, value.line, key_text(path), message))
            return []
        return sources

    def _mapping_at(
        self, source: _Node, path: KeyPath, depth: int, own_keys: set[str]
    ) -> dict[str, Any]:
        """Expand a merged mapping into ``path``; the mapping's own keys keep their lines."""
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            _refuse(self.file, source.line, "too many mappings merged by <<")
        foreign = _Node(
            source.line,
            pairs=[pair for pair in source.pairs or [] if pair[0].text not in own_keys],
        )
        return self._mapping(foreign, path, depth)

    def _scalar(self, node: _Node, path: KeyPath) -> str | int | float | bool | None:
        text = node.text or ""
        if not node.plain:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "0123456789+-.":
            return text
        if _INT.match(text) or _HEX.match(text):
            if len(text) > MAX_DIGITS:
                self._say(node, path, "a number of too many digits")
                return 0
            return int(text, 0)
        value = float(text) if _FLOAT.match(text) else math.nan
        if math.isinf(value) or _NOT_FINITE.match(text):
            self._say(node, path, f"{text[:MAX_DIGITS]} is not a finite number")
            return 0.0
        return text if math.isnan(value) else value

    def _say(self, node: _Node, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self.file, node.line, key_text(path), message))
