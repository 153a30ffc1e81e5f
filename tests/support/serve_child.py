"""A serve process for tests: says its address, and runs until it is ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.core.errors import PilegateError
from gateway.serve.app import serve
from tests.support.shed import small_site


def _say(address: str) -> None:
    sys.stdout.write(address + "\n")
    sys.stdout.flush()


def main() -> int:
    folder, listen = Path(sys.argv[1]), sys.argv[2]
    try:
        asyncio.run(serve(small_site(folder), folder, listen, announce=_say))
    except PilegateError as err:
        sys.stderr.write(f"{err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
