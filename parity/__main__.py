"""``python -m parity``."""

import sys

from trufor_onnx.parity.cli import main

sys.exit(main())
