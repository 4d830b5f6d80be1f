"""``python -m runtime.serve``."""

import sys

from trufor_onnx.runtime.serve.cli import main

sys.exit(main())
