"""``make soak``: what takes longer than a bench. Prints a verdict for each promise."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable

from gateway.core.errors import PilegateError
from tests.bench.processes import BenchFailed
from tests.soak.charges import soak_charges
from tests.soak.day import soak_day
from tests.soak.hour import soak_hour
from tests.soak.loads import soak_loads
from tests.soak.wire import soak_wire

PARTS = ("loads", "charges", "day", "wire", "hour")


def main() -> int:
    """Soak what was asked for. Exit status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated")
    parser.add_argument("--outlets", type=int, default=1_000, help="of the simulated day")
    parser.add_argument("--hours", type=float, default=24.0, help="of the simulated day")
    parser.add_argument("--minutes", type=float, default=60.0, help="of each part on the wire")
    parser.add_argument("--loads", type=int, default=4_000, help="of each kind")
    parser.add_argument("--charges", type=int, default=10_000, help="without a fault, and with one")
    parser.add_argument("--seed", type=int, help="of the charges and of the trouble on the wire")
    arguments = parser.parse_args()
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    parts = arguments.only or PARTS
    plays: dict[str, Callable[[], bool]] = {
        "loads": lambda: soak_loads(arguments.loads, seed),
        "charges": lambda: soak_charges(arguments.charges, seed),
        "day": lambda: soak_day(arguments.outlets, arguments.hours, seed),
        "wire": lambda: soak_wire(max(1.0, arguments.minutes), seed),
        "hour": lambda: soak_hour(max(1.0, arguments.minutes), seed),
    }
    print(f"seed {seed}", flush=True)
    try:
        good = [play() for part, play in plays.items() if part in parts]
    except (BenchFailed, PilegateError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
