"""Runs pytest in children of one process, which imported torch and the like once for all of them.

A line of standard input is a JSON list: a folder, a file for what is printed, pytest's arguments.
A line of standard output is the exit code. Our own modules come from that folder, new for each.
"""

from __future__ import annotations

import json
import os
import sys

# What our code imports inside functions; none of ours is among them.
import numpy  # noqa: F401
import onnx  # noqa: F401
import onnx_ir  # noqa: F401
import onnxruntime  # noqa: F401
import PIL.Image  # noqa: F401
import pytest
import torch  # noqa: F401


def child(folder: str, log: str, arguments: list[str]) -> int:
    """Run pytest in a folder; its exit code."""
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(written, stream)
    os.chdir(folder)
    sys.path.insert(0, folder)
    code = int(pytest.main(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


for line in sys.stdin:
    process = os.fork()
    if process == 0:
        code = 3  # pytest's own number for an error inside of it
        try:
            code = child(*json.loads(line))
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    sys.stdout.write(f"{ended}\n")
    sys.stdout.flush()
