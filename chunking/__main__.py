"""``python -m chunking``."""

import sys

from trufor_onnx.chunking.cli import main

sys.exit(main())
