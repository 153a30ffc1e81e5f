"""Site files that are wrong: every error with file, line and key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.explain import MOST_TOLD
from tests.support.site_text import check_refused, refused, with_lines

BAD: list[tuple[dict[int, str], list[str]]] = [
    # keys and types
    ({1: "site: {id: s, nme: x}"}, ["1: site.nme: unknown key; did you mean name?"]),
    ({1: "site: {}"}, ["1: site.id: is missing"]),
    ({1: "site: s"}, ["1: site: expected keys with values, not the text 's'"]),
    ({1: "sit: {id: s}"}, ["1: site: is missing", "1: sit: unknown key; did you mean site?"]),
    (
        {1: "site: {id: S 1}"},
        [
            (
                "1: site.id: expected an id (small letters, digits, '.', '_' and '-', at most 63, "
                "beginning with a letter or digit), not the text 'S 1'"
            )
        ],
    ),
    ({1: "site: {id: 5}"}, ["1: site.id: expected text, not 5"]),
    ({1: "site: {id: s, name: ''}"}, ["1: site.name: expected text that is not empty, not"]),
    (
        {1: 'site: {id: s, name: "a\\nb"}'},
        ["1: site.name: expected one line of text without control characters, not the text"],
    ),
    (
        {1: 'site: {id: s, name: "a\\e[2Jb"}'},
        ["1: site.name: expected one line of text without control characters, not the text"],
    ),
    (
        {12: '- id: north\n  name: "\\u202eevil"'},
        ["13: stations[0].name: expected one line of text without control characters, not"],
    ),
    ({1: 'site: {id: s, name: "北门 é ‌"}'}, []),
    ({1: 'site: {id: "s\\n"}'}, ["1: site.id: expected an id"]),
    ({1: "site: {id: s}\nstate_dir: 7"}, ["2: state_dir: expected text, not 7"]),
    (
        {1: 'site: {id: s}\nstate_dir: "a\\0b"'},
        ["2: state_dir: a path holds no control characters"],
    ),
    (
        {1: "site: {id: s}\npromise: {cut_off_ms: 10}"},
        ["2: promise.cut_off_ms: expected a number from 100 up, not 10"],
    ),
    (
        {1: "site: {id: s}\nguard: {journal_max_mb: true}"},
        ["2: guard.journal_max_mb: expected a whole number, not true"],
    ),
    ({1: "site: {id: s}\nprofiles: nowhere"}, ["2: profiles: expected a list, not the text"]),
    ({1: "site: {id: s}\nprofiles: [nowhere]"}, ["2: profiles[0]: no such folder: "]),
    ({1: f"site: {{id: s}}\nprofiles: [{'x' * 400}]"}, ["2: profiles[0]: no such folder: "]),
    # serve
    (
        {1: 'site: {id: s}\nserve: {listen: "0.0.0.0:80"}'},
        [
            (
                "2: serve.listen: 0.0.0.0 can be reached from other machines: add tls "
                "with cert and "
                "key, or listen on 127.0.0.1"
            )
        ],
    ),
    ({1: 'site: {id: s}\nserve: {listen: ":80"}'}, ["2: serve.listen: expected host:port such"]),
    ({1: "site: {id: s}\nserve: {listen: 8480}"}, ["2: serve.listen: expected text, not 8480"]),
    (
        {1: 'site: {id: s}\nserve: {listen: "localhost:65536"}'},
        ["2: serve.listen: expected host:port such as 127.0.0.1:8480, not 'localhost:65536'"],
    ),
    (
        {1: "site: {id: s}\nserve: {database: mysql://x}"},
        ["2: serve.database: expected a URL that begins with sqlite:/// or postgresql://"],
    ),
    ({1: "site: {id: s}\nserve: {tls: {cert: c}}"}, ["2: serve.tls.key: is missing"]),
]


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=range(len(BAD)))
def test_what_is_refused_and_where(
    tmp_path: Path, changes: dict[int, str], expected: list[str]
) -> None:
    check_refused(tmp_path, changes, expected)


def test_a_file_full_of_one_mistake_is_told_within_bounds(tmp_path: Path) -> None:
    wrong = "".join(f"k{number}: 1\n" for number in range(1_000))
    problems = refused(tmp_path, f"{with_lines({})}{wrong}")
    assert len(problems) == MOST_TOLD + 1
    assert f"site.yaml:1: and {1_000 - MOST_TOLD} more problems here: correct these" in problems[0]


def test_a_folder_of_profiles_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr("os.access", lambda *_: False)
    problems = refused(tmp_path, with_lines({1: "site: {id: s}\nprofiles: [mine]"}))
    assert problems == [
        (
            f"site.yaml:2: profiles[0]: {tmp_path}/mine may not be read by this user: "
            "check owner and mode"
        )
    ]


def test_all_errors_of_all_files_come_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "mine.yaml").write_text("profile: mine\nname: x\nchannels: x\n", encoding="utf-8")
    problems = refused(
        tmp_path,
        with_lines(
            {
                1: "site: {id: S}\nprofiles: [profiles]\nguard: {x: 1}",
                3: "- {id: b1, kind: modbus-rtu, port: x, baud: 1}",
                7: "- {id: p1, bus: b1, unit: 300, profile: pzem-004t-v3}",
                8: "- {id: w1, bus: b2, unit: 1, profile: mine}",
                9: "- {id: d1, bus: b9, unit: 2, profile: dds238-2-zn-sr}",
                10: "limits: {overpower: {above_w: -1}}",
                13: "limits: {welded: {action: off}}",
                20: "- {id: c1, device: d1}",
            }
        ),
    )
    assert [":".join(problem.split(":")[:3]).replace(" ", "") for problem in problems] == [
        "site.yaml:1:site.id",
        "site.yaml:3:guard.x",
        "site.yaml:5:buses[0].port",
        "site.yaml:5:buses[0].baud",
        "site.yaml:9:devices[1].unit",
        "site.yaml:11:devices[3].bus",
        "site.yaml:12:limits.overpower.above_w",
        "site.yaml:15:stations[0].limits.welded.action",
        "site.yaml:22:stations[0].piles[0].outlets[1].id",
        "profiles/mine.yaml:1:source",
        "profiles/mine.yaml:3:channels",
    ]
