"""A site whose state directory is a small disk of its own, that gets full: told by a process
in a mount namespace of its own. Exit status 1 and a traceback when something is not so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from gateway.core.errors import PilegateError, TryLater
from gateway.core.facts import FactKind
from gateway.demo.place import Place
from tests.support import run_claims as claims
from tests.support.run_command import one_line, pilegate
from tests.support.run_stage import PATIENT, SITES, Stage, on_stage, play, until

SITE = SITES / "demo-both.yaml"
DISK_BYTES = 3 * 1024 * 1024
LEASED = [f"n{pile}-{channel}" for pile in (1, 2) for channel in range(1, 6)]
OVERLOADED = ["n1-1", "n2-1"]
SWITCHED_OFF = "n1-2"
FREE = "n2-9"
SEEN_WITHIN_S = 60.0
WHY = "the disk is full: make room"


def mount(place: Place) -> None:
    disk = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place.state_dir)]
    subprocess.run(disk, check=True)


def fill(path: Path) -> None:
    """Write until nothing fits any more, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 512, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue


async def on(stage: Stage, outlet: str) -> None:
    await stage.call("on", outlet=outlet, for_s=600, actor="test", reason="full disk")


async def story(stage: Stage) -> None:
    for outlet in LEASED:
        await on(stage, outlet)
    await until("all are on", lambda: _all_on(stage), within_s=SEEN_WITHIN_S)

    filler = stage.place.state_dir / "filler"
    fill(filler)
    await until("the journal is stuck", lambda: _refused(stage), within_s=SEEN_WITHIN_S)
    before = claims.read_facts(stage.journal)

    for outlet in OVERLOADED:
        stage.say(load_step=outlet, power_w=3_000)
    target = {"kind": "outlet", "id": SWITCHED_OFF}
    await stage.call("off", target=target, actor="test", reason="full disk")
    await until("they are off", lambda: _off_by_frame(stage), within_s=SEEN_WITHIN_S)
    shown = await stage.views()
    assert [shown[outlet].lease for outlet in OVERLOADED] == [None, None]
    # What a crash could still forget is not told.
    assert [shown[outlet].latch for outlet in OVERLOADED] == [None, None]
    await _people_are_told(stage)

    await asyncio.to_thread(filler.unlink)
    await until("the latches are told", lambda: _latched(stage), within_s=SEEN_WITHIN_S)
    facts = claims.read_facts(stage.journal)
    claims.sequence_is_whole(facts)
    assert facts[: len(before)] == before
    cut = [f.data["outlet"] for f in facts if f.kind == FactKind.OUTLET_CUT]
    assert sorted(cut) == OVERLOADED
    await until("it is written again", lambda: _on_again(stage), within_s=SEEN_WITHIN_S)
    await until("business has all", lambda: _taken_over(stage), within_s=SEEN_WITHIN_S)
    said = stage.programs.log("guard")
    assert said.count(WHY) == said.count("journal: writes again") == 1, said
    await killed_while_full(stage, filler)
    for name in ("guard", "serve"):
        assert "Traceback" not in stage.programs.log(name), stage.programs.log(name)


async def killed_while_full(stage: Stage, filler: Path) -> None:
    """Killed and started again on a full disk, the guard first switches off what it finds on."""
    fill(filler)
    await until("the journal is stuck again", lambda: _refused(stage), within_s=SEEN_WITHIN_S)
    await stage.programs.kill("guard")
    died_with = claims.open_leases(stage.journal)
    assert died_with
    await stage.programs.again("guard")
    await until("nothing is on", lambda: _nothing_on(stage), within_s=SEEN_WITHIN_S)
    assert "is not written down" not in stage.programs.log("guard"), "it waited for the disk"
    await asyncio.to_thread(filler.unlink)
    await until("its start is written", lambda: _starts(stage, 2), within_s=SEEN_WITHIN_S)
    facts = claims.read_facts(stage.journal)
    claims.sequence_is_whole(facts)
    claims.interrupted_once(facts, died_with)


async def _all_on(stage: Stage) -> bool:
    views = await stage.views()
    return all(views[outlet].state == "on" for outlet in LEASED)


async def _refused(stage: Stage) -> bool:
    """Have something written until the disk refuses it; the file's own free pages go first."""
    try:
        await on(stage, FREE)
    except TryLater as error:
        return WHY in str(error)
    target = {"kind": "outlet", "id": FREE}
    await stage.call("off", target=target, actor="test", reason="full disk")
    return False


async def _off_by_frame(stage: Stage) -> bool:
    wanted = {*OVERLOADED, SWITCHED_OFF}
    off = {r["outlet"] for r in stage.records.relay if not r["on"] and r["by"] == "frame"}
    return wanted <= off and not any(stage.records.on[outlet] for outlet in wanted)


async def _people_are_told(stage: Stage) -> None:
    """By command line and by API: one line, and no 500."""
    where = ["--state-dir", stage.place.state_dir]
    done = await asyncio.to_thread(
        pilegate, *where, "on", FREE, "--for", "1m", cwd=stage.place.folder
    )
    assert WHY in one_line(done, 3)
    body = {
        "action": "on",
        "target": {"kind": "outlet", "id": FREE},
        "lease": {"for_s": 60},
        "reason": "full disk",
    }
    for attempt in range(20):
        answer = await stage.api.request(
            "POST", "/v1/commands?wait=10", body, key=f"full-{attempt}"
        )
        assert answer.status in (200, 202, 503), answer
        if answer.status == 503:
            assert "the disk is full" in answer.text, answer
            break
        assert answer.body["state"] in ("unknown", "failed", "recorded"), answer
    else:
        raise AssertionError("the business database wrote on a full disk")
    listed = await stage.api.request("GET", "/v1/outlets")
    assert listed.status == 200


async def _nothing_on(stage: Stage) -> bool:
    return not any(stage.records.on.values())


async def _starts(stage: Stage, count: int) -> bool:
    facts = claims.read_facts(stage.journal)
    return [fact.kind for fact in facts].count(FactKind.GUARD_STARTED) == count


async def _latched(stage: Stage) -> bool:
    views = await stage.views()
    return all(views[outlet].state == "cut" and views[outlet].latch for outlet in OVERLOADED)


async def _on_again(stage: Stage) -> bool:
    await on(stage, "n2-10")
    return True


async def _taken_over(stage: Stage) -> bool:
    last = (await stage.call("hello"))["seq"]
    rows = claims.business_events(stage.place.state_dir / "serve.db")
    if len(rows) != last:
        raise PilegateError(f"{len(rows)} of {last} facts")
    return True


async def main(folder: Path) -> None:
    async with on_stage(folder, SITE, prepare=mount, limits=PATIENT) as stage:
        await play(stage, story)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
