"""``python -m export``."""

import sys

from trufor_onnx.export.cli import main

sys.exit(main())
