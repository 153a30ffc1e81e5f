"""``make bench``: prints figures, beside those of a bare pymodbus loop, and keeps them as JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.core.errors import PilegateError
from tests.bench.figures import Spread, table
from tests.bench.latency import CutOffs, measure_latency
from tests.bench.plugs import PLUGS, PlugFlood, measure_plugs
from tests.bench.processes import BenchFailed
from tests.bench.reaction import Reactions, measure_reactions
from tests.bench.serial_line import LineUse, count_foreign, measure_use

FOLDER = Path(".bench")
BAUDS = (9_600, 115_200)
TIMERS = "timers late p50/p99 ms"
OWN = "own p50/p99 ms"
PARTS = ("latency", "line", "foreign", "reaction", "plugs")


def main() -> int:
    """Measure what was asked for. Exit status 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer outlets, a shorter time")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run, too")
    arguments = parser.parse_args()
    folder = (FOLDER / secrets.token_hex(4)).absolute()
    folder.mkdir(parents=True)
    try:
        result = asyncio.run(_measure(folder, arguments.only or PARTS, quick=bool(arguments.quick)))
    except (BenchFailed, PilegateError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    path = FOLDER / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"\nkept as {path}")
    if not arguments.keep:
        shutil.rmtree(folder)
    return 0


async def _measure(folder: Path, parts: Sequence[str], *, quick: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": _machine(), "quick": quick}
    print("  ".join(f"{key} {value}" for key, value in result["machine"].items()))
    if "latency" in parts:
        modules, cuts, each_s = (20, 40, 0.1) if quick else (100, 300, 0.1)
        rows = await measure_latency(_inside(folder, "tcp"), modules, cuts, each_s)
        _show_latency(rows, modules)
        result["latency"] = [row.to_json() for row in rows]
    if "line" in parts:
        seconds = 8.0 if quick else 25.0
        uses = [
            use
            for baud in BAUDS
            for use in await measure_use(_inside(folder, f"line-{baud}"), baud, seconds)
        ]
        _show_use(uses, seconds)
        result["line"] = [use.to_json() for use in uses]
    if "foreign" in parts:
        counts = {
            baud: await count_foreign(_inside(folder, f"tap-{baud}"), baud, 10 if quick else 40)
            for baud in BAUDS
        }
        _show_foreign(counts)
        result["foreign"] = counts
    if "reaction" in parts:
        rows_by_plan = await measure_reactions(_inside(folder, "reaction"), 20 if quick else 60)
        _show_reactions(rows_by_plan)
        result["reaction"] = [row.to_json() for row in rows_by_plan]
    if "plugs" in parts:
        seconds, cuts = (10.0, 20) if quick else (60.0, 300)
        flood = await measure_plugs(_inside(folder, "plugs"), seconds, cuts)
        _show_plugs(flood)
        result["plugs"] = flood.to_json()
    return result


def _inside(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "pymodbus": importlib.metadata.version("pymodbus"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _late(spread: Spread) -> str:
    return f"{spread.p50_ms:.1f}/{spread.p99_ms:.1f}"


def _show_latency(rows: Sequence[CutOffs], modules: int) -> None:
    print(f"\nCut-offs, {modules * 10} outlets on {modules} TCP modules at 1 Hz:")
    print("from the first over-limit answer sent to the off frame received, by the simulator;")
    print("own: the program's part of it, from having the bytes to handing over the off frame")
    head = [
        "",
        "cut-offs",
        "p50 ms",
        "p99 ms",
        "max ms",
        OWN,
        "missing",
        "requests/s",
        "CPU",
        TIMERS,
    ]
    print(
        table(
            head,
            [
                (
                    row.who,
                    row.spread.n,
                    f"{row.spread.p50_ms:.2f}",
                    f"{row.spread.p99_ms:.2f}",
                    f"{row.spread.max_ms:.2f}",
                    _late(row.own) if row.own else "",
                    row.missing,
                    f"{row.reads_a_s:.0f}",
                    f"{row.cpu_share:.0%}",
                    _late(row.timers),
                )
                for row in rows
            ],
        )
    )
    for row in rows:
        if row.flood is not None:
            print(f"flood: {json.dumps(row.flood)}")


def _show_use(uses: Sequence[LineUse], seconds: float) -> None:
    print(f"\nUse of a serial line over {seconds:g} s: frames both ways, one gap each, turn-around")
    print(
        table(
            ["", "baud", "used", "requests/s", "spoiled", TIMERS],
            [
                (
                    use.who,
                    use.baud,
                    f"{use.utilisation:.1%}",
                    f"{use.requests_a_s:.1f}",
                    use.spoiled,
                    _late(use.timers),
                )
                for use in uses
            ],
        )
    )


def _show_reactions(rows: Sequence[Reactions]) -> None:
    print("\nFrom an overload to its off frame, 16 modules of ten outlets at 9,600 baud")
    print(
        table(
            ["", "cut-offs", "p50 ms", "p99 ms", "max ms", "missing", "line used", TIMERS],
            [
                (
                    row.who,
                    row.spread.n,
                    f"{row.spread.p50_ms:.0f}",
                    f"{row.spread.p99_ms:.0f}",
                    f"{row.spread.max_ms:.0f}",
                    row.missing,
                    f"{row.use.utilisation:.1%}",
                    _late(row.use.timers),
                )
                for row in rows
            ],
        )
    )


def _show_plugs(flood: PlugFlood) -> None:
    print(f"\n{PLUGS} plugs behind {flood.broker}, {flood.seconds:.0f} s of telemetry, by MQTT")
    print(
        table(
            [
                *("messages/s", "messages", "lost", "cut-offs", "p50 ms", "p99 ms", "max ms"),
                *("missing", "CPU", TIMERS),
            ],
            [
                (
                    f"{flood.rate:.0f}",
                    flood.messages,
                    flood.messages - flood.samples,
                    flood.cuts.n,
                    f"{flood.cuts.p50_ms:.2f}",
                    f"{flood.cuts.p99_ms:.2f}",
                    f"{flood.cuts.max_ms:.2f}",
                    flood.missing,
                    f"{flood.cpu_share:.0%}",
                    _late(flood.timers),
                )
            ],
        )
    )


def _show_foreign(counts: dict[int, list[int]]) -> None:
    print("\nRequests on the line between the over-limit answer and the off frame")
    print(
        table(
            ["", "baud", "cut-offs", "mean", "max"],
            [
                ("guard", baud, len(found), f"{sum(found) / len(found):.2f}", max(found))
                if found
                else ("guard", baud, 0, "-", "-")
                for baud, found in counts.items()
            ],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
