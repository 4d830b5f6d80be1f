"""``python -m parity.dataset``."""

import sys

from parity.dataset.cli import main

if __name__ == "__main__":
    sys.exit(main())
