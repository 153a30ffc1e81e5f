"""What cut an outlet off is kept, exported by command and by API, and replayed to the same end."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from gateway.demo.place import Place
from gateway.link.journal import JournalReader
from tests.support import run_claims as claims
from tests.support.run_command import Done, pilegate
from tests.support.run_stage import SITES, Stage, on_stage, play, until

SITE = SITES / "demo-both.yaml"
OVERLOADED, PULLED, ASKED, APART, KILLED = "n1-1", "n1-2", "n2-1", "n3-1", "n2-2"
AFTER_S = 5
BELIEVED_MWH = 500
"""Ten seconds at 180 W: by then a load has been seen."""
WITHIN_S = 90.0
"""Silence, a window and a slow machine together."""


def shorten(place: Place) -> None:
    """Let windows close soon."""
    site = yaml.safe_load(place.site_file.read_text(encoding="utf-8"))
    site["guard"] = {"flights": {"before_s": 60, "after_s": AFTER_S}}
    place.site_file.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")


async def command(stage: Stage, *arguments: object) -> Done:
    where = ("--state-dir", stage.place.state_dir)
    return await asyncio.to_thread(pilegate, *where, *arguments, cwd=stage.place.folder)


def kept(stage: Stage) -> dict[str, str]:
    with JournalReader(stage.journal) as reader:
        return {head.outlet: head.reason for head in reader.flights()}


async def story(stage: Stage) -> None:
    for outlet in (OVERLOADED, PULLED, ASKED, APART, KILLED):
        await stage.call("on", outlet=outlet, for_s=600, actor="test", reason="flight")

    async def all_on() -> bool:
        views = await stage.views()
        wanted = (OVERLOADED, PULLED, ASKED, APART, KILLED)
        return all(views[name].energy_mwh > BELIEVED_MWH for name in wanted)

    await until("all charge", all_on, within_s=WITHIN_S)
    for outlet in (OVERLOADED, APART):
        stage.say(load_step=outlet, power_w=3_000)
    stage.say(unplug=PULLED)
    target = {"kind": "outlet", "id": ASKED}
    await stage.call("off", target=target, actor="test", reason="flight")

    async def all_kept() -> bool:
        return len(kept(stage)) >= 4

    await until("their records are kept", all_kept, within_s=WITHIN_S)
    assert kept(stage) == {
        OVERLOADED: "overcurrent_instant",
        APART: "overcurrent_instant",
        PULLED: "unplugged",
        ASKED: "requested",
    }
    await by_command_and_by_api(stage)
    await after_a_kill(stage)


async def by_command_and_by_api(stage: Stage) -> None:
    exported = stage.place.folder / "all.jsonl"
    done = await command(stage, "flights", "--export", exported)
    assert (done.status, done.said) == (0, [])
    listed = (await stage.api.request("GET", "/v1/flights")).body["flights"]
    assert {row["outlet"] for row in listed} == set(kept(stage))

    for row in listed:
        alone = await asyncio.to_thread(get, stage, f"/v1/flights/{row['id']}")
        assert alone in exported.read_text(encoding="utf-8"), "the same lines by both ways"
        assert alone.count("\n") == row["samples"] + 1

    headers = [row for row in lines(exported) if "pilegate_flight" in row]
    assert [header["seq"] for header in headers] == [row["id"] for row in listed]
    facts = {fact.seq: fact for fact in claims.read_facts(stage.journal)}
    for header in headers:
        assert facts[header["seq"]].id == header["facts"][0]["id"]
        assert header["facts"][0]["data"] == facts[header["seq"]].data
        assert header["incomplete"] == []
        assert header["limits"]["overcurrent_instant"]["above_a"] == 8.0

    replayed = await command(stage, "replay", exported, "--json")
    found = {row["outlet"]: row for row in map(json.loads, replayed.out.splitlines())}
    assert replayed.status == 0, replayed
    assert all(row["same"] for row in found.values()), found
    assert found[OVERLOADED]["replayed"]["reason"] == "overcurrent_instant"
    assert found[PULLED]["replayed"]["reason"] == "unplugged"
    assert found[ASKED]["asked_for"]

    loose = await command(
        stage, "replay", exported, "--set", "overcurrent_instant=null", "--set", "overpower=null"
    )
    assert loose.status == 1, "with other limits it ends in another way"
    assert "DIFFERENT" in loose.out


async def after_a_kill(stage: Stage) -> None:
    """A kill loses the windows that are open, and nothing else."""
    before = kept(stage)
    stage.say(load_step=KILLED, power_w=3_000)

    async def cut() -> bool:
        return claims.latched_by_facts(claims.read_facts(stage.journal)).get(KILLED) is not None

    await until("it is cut off", cut, within_s=WITHIN_S)
    await stage.programs.kill("guard")
    await stage.programs.again("guard")
    await stage.guard_answers()
    assert kept(stage) == before
    claims.sequence_is_whole(claims.read_facts(stage.journal))
    listed = await command(stage, "flights")
    assert len(listed.out.splitlines()) == len(before)


def get(stage: Stage, path: str) -> str:
    request = urllib.request.Request(
        stage.api.url + path, headers={"Authorization": f"Bearer {stage.api._token}"}
    )
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        assert answer.headers.get_content_type() == "application/x-ndjson"
        return str(answer.read().decode())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_cut_off_is_kept_exported_and_replayed(tmp_path: Path) -> None:
    async def main() -> None:
        plugged = (OVERLOADED, PULLED, ASKED, APART, KILLED)
        async with on_stage(tmp_path, SITE, plugged=plugged, prepare=shorten) as stage:
            await play(stage, story)

    asyncio.run(main())
