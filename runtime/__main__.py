"""``python -m runtime``."""

import sys

from trufor_onnx.runtime.cli import main

sys.exit(main())
