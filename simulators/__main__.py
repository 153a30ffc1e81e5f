"""``python -m simulators`` is ``pilegate sim``."""

import sys

from simulators.app import main

if __name__ == "__main__":
    sys.exit(main())
