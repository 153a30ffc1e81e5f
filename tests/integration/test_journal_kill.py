from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from gateway.core.facts import Fact
from gateway.guard.journal_schema import open_journal
from gateway.guard.journal_sql import last_seq
from gateway.link.journal import JournalReader

ROOT = Path(__file__).parents[2]


def _killed_writer(path: Path, start: int, after: int) -> list[list[int]]:
    """Run a writer, kill it after so many entries; give those that it said were durable."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.journal_child", path, str(start)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    first = "".join(child.stdout.readline() for _ in range(after))
    child.kill()
    rest = child.stdout.read()
    child.stdout.close()
    child.wait(30)
    lines = (first + rest).splitlines(keepends=True)
    return [[int(word) for word in line.split()] for line in lines if line.endswith("\n")]


def test_a_kill_loses_nothing_that_was_durable_and_leaves_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    rng = random.Random(7)
    durable: dict[int, list[int]] = {}
    start = 0
    for _ in range(6):
        for count, *seqs in _killed_writer(path, start, rng.randint(1, 60)):
            durable[count] = seqs
        open_journal(path).close()
        start += 100_000
    assert len(durable) > 50

    with JournalReader(path) as reader:
        facts: list[Fact] = []
        while page := reader.facts_after(facts[-1].seq if facts else 0):
            facts += page
        latched = {latch.outlet for latch in reader.latches()}
        assert [fact.seq for fact in facts] == list(range(1, reader.last_seq() + 1))
    by_seq = {fact.seq: fact.data["n"] for fact in facts}
    assert {n: [by_seq.get(seq) for seq in seqs] for n, seqs in durable.items()} == {
        n: [n, n] for n in durable
    }
    assert {f"o{count}" for count in durable} <= latched
    # Each entry whole, or not at all.
    assert {f"o{n}" for n in by_seq.values()} == latched
    assert len(by_seq) == 2 * len(latched)
    with_open = open_journal(path)
    assert last_seq(with_open) == facts[-1].seq
    with_open.close()
