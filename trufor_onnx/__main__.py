"""``python -m trufor_onnx``: the same as ``trufor-onnx``."""

import sys

from trufor_onnx.cli import main

sys.exit(main())
