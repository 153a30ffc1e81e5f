"""Captures made by hand from documents: what each message says, and what each command is.

A file is one family: ``profile`` and ``topic``, then messages with what they say indented below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.mqtt.families import FAMILIES
from drivers.mqtt.words import Ack, Codec, Heard, WrongPayload
from gateway.config import Family, MqttProfile, load_plug_profile
from gateway.config.profile_files import BUILT_IN

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "mqtt"
ME = "guard/d"


def steps(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line that is not indented, with the indented ones below it."""
    head: str | None = None
    below: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("  "):
            below.append(line.strip())
            continue
        if head is not None:
            yield head, below
        head, below = line, []
    if head is not None:
        yield head, below


def told(heard: Heard) -> list[str]:
    lines = []
    for reading in heard.readings:
        values = zip(reading._fields[1:], reading[1:], strict=True)
        lines.append(f"{reading.channel} {sorted(f'{n}={v}' for n, v in values if v is not None)}")
    if heard.online is not None:
        lines.append(f"online {heard.online}")
    if heard.ack is not None:
        lines.append(f"ack {heard.ack.ref} {'done' if heard.ack.done else 'refused'}")
    if heard.answers is not None:
        lines.append(f"answers {heard.answers}")
    if heard.source is not None:
        lines.append(f"from {heard.source}")
    if heard.stays_off is not None:
        lines.append(f"stays off {heard.stays_off}")
    lines += [f"reply {out.topic} {out.payload}" for out in heard.replies]
    return lines


def expected(below: list[str]) -> list[str]:
    """The same form: values of a reading in any order."""
    lines = []
    for line in below:
        channel, _, values = line.partition(" ")
        is_reading = channel.isdigit()
        lines.append(f"{channel} {sorted(values.split())}" if is_reading else line)
    return lines


def sent(codec: Codec, command: str) -> list[str]:
    words = command.split()
    given = dict(zip(words[2::2], words[3::2], strict=False))
    if words[0] == "ask":
        outs = codec.ask(int(words[2]))
    elif words[0] == "prepare":
        outs = codec.prepare(int(words[2]))
    elif words[0] == "on":
        for_s = int(given["for"]) if "for" in given else None
        outs = codec.on(int(words[1]), for_s, int(given["ref"]))
    elif words[0] == "keep":
        outs = codec.keep(int(words[1]), int(given["for"]), int(given["ref"]))
    else:
        outs = codec.off(int(words[1]), int(given["ref"]))
    return [f"> {topic} {payload}".rstrip() for topic, payload in outs]


def _parted(head: str, codec: Codec | None) -> tuple[str, str, str]:
    """Take a line apart; a topic may have spaces in it."""
    for topic in () if codec is None else codec.topics:
        if head.startswith(f"{topic} "):
            return topic, " ", head[len(topic) + 1 :]
    return head.partition(" ")


@pytest.mark.parametrize("family", list(Family))
def test_captures(family: Family) -> None:
    profile: MqttProfile | None = None
    codec: Codec | None = None
    count = 0
    for head, below in steps(FOLDER / f"{family}.txt"):
        word, _, rest = _parted(head, codec)
        if word == "profile":
            profile = load_plug_profile(BUILT_IN / f"{rest}.yaml")
            assert profile.family is family
            continue
        if word == "topic":
            assert profile is not None
            codec = FAMILIES[family](rest, profile, ME)
            continue
        assert codec is not None
        count += 1
        wanted = [] if below == ["nothing"] else below
        if word in ("on", "off", "keep", "ask", "prepare"):
            assert sent(codec, head) == wanted, head
            continue
        if wanted == ["unknown topic"]:
            assert word not in codec.topics, head
            continue
        if wanted and wanted[0].startswith("wrong "):
            with pytest.raises(WrongPayload) as caught:
                codec.topics[word](rest.encode())
            assert caught.value.kind == wanted[0].partition(" ")[2], head
            continue
        heard = codec.topics[word](rest.encode())
        faults = [line.removeprefix("fault ") for line in wanted if line.startswith("fault ")]
        rest_lines = [line for line in wanted if not line.startswith("fault ")]
        assert sorted(told(heard)) == sorted(expected(rest_lines)), head
        for fault in faults:
            assert any(line.startswith(fault) for line in heard.faults), (head, heard.faults)
        assert bool(faults) == bool(heard.faults), (head, heard.faults)
    assert count > 10


def test_every_family_is_in_the_registry_and_has_captures() -> None:
    assert set(FAMILIES) == set(Family)
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(Family)


def test_the_examples_of_the_native_format_are_what_the_codec_speaks() -> None:
    text = (ROOT / "drivers" / "mqtt" / "README.md").read_text(encoding="utf-8")
    telemetry, command, ack = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    profile = load_plug_profile(BUILT_IN / "pilegate-native.yaml")
    codec = FAMILIES[Family.NATIVE]("m7", profile, ME)
    [reading] = codec.topics["pilegate/m7/telemetry"](telemetry.encode()).readings
    assert reading.says_something
    assert (reading.power_w, reading.relay_on, reading.energy_mwh) == (118.4, True, 5_210_500)
    [out] = codec.on(1, 3_600, 17)
    assert json.loads(out.payload) == json.loads(command)
    assert codec.topics["pilegate/m7/ack"](ack.encode()).ack == Ack(17, done=True)
