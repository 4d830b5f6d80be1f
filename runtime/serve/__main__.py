"""``python -m runtime.serve``."""

import sys

from runtime.serve.cli import main

sys.exit(main())
