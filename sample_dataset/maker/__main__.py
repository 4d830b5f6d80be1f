"""``python -m sample_dataset.maker``."""

import sys

from sample_dataset.maker.cli import main

if __name__ == "__main__":
    sys.exit(main())
