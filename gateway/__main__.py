"""``python -m gateway`` and the ``pilegate`` command."""

from __future__ import annotations

import sys

from gateway.cli import run


def main() -> None:
    """Run the command line and end the process with its status."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
