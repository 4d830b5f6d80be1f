"""Long calls into native code that Ctrl-C ends at once.

Python handles a signal between two of its own instructions; a network that runs for a minute is
one call. So the call is made in a thread of its own while the main thread waits, and can be
interrupted.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

_running: set[int] = set()
_numbers = itertools.count()


def interruptible(
    call: Callable[[], Any], stop: Callable[[], None], errors: tuple[type[Exception], ...]
) -> Any:
    """Make a call; if the main thread is interrupted meanwhile, leave it and go on with that.

    Args:
        call: what takes long.
        stop: asks the call to end soon; used when nobody waits for it any more.
        errors: what the call may raise; raised here.

    Returns:
        What the call returns.
    """
    number = next(_numbers)
    _running.add(number)
    if threading.current_thread() is not threading.main_thread():
        try:
            return call()  # signals go to the main thread only
        finally:
            _running.discard(number)
    outcome: list[Any] = []
    failure: list[Exception] = []
    ended = threading.Event()  # an interrupted `join` would take the thread for ended

    def work() -> None:
        try:
            outcome.append(call())
        except errors as error:
            failure.append(error)
        finally:
            _running.discard(number)
            ended.set()

    try:
        threading.Thread(target=work, name="runtime", daemon=True).start()
        ended.wait()
    except BaseException:
        stop()
        raise
    if failure:
        raise failure[0]
    return outcome[0]


def ended(code: int) -> int:
    """A command's exit code; if a call is still at work, the process ends with it at once.

    The end of the interpreter takes down what native code is using: it would wait, or crash.
    """
    if _running:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
