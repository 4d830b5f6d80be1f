"""Long calls into native code that Ctrl-C ends at once.

Python handles a signal between two of its own instructions; a network that runs for a minute is
one call. So the call is made in a thread of its own while the main thread waits, and can be
interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_abandoned: list[threading.Event] = []


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
    if threading.current_thread() is not threading.main_thread():
        return call()  # signals go to the main thread only
    outcome: list[Any] = []
    failure: list[Exception] = []
    ended = threading.Event()  # an interrupted `join` would take the thread for ended

    def work() -> None:
        try:
            outcome.append(call())
        except errors as error:
            failure.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, name="runtime", daemon=True).start()
    try:
        ended.wait()
    except BaseException:
        stop()
        _abandoned.append(ended)
        raise
    if failure:
        raise failure[0]
    return outcome[0]


def still_running() -> bool:
    """Whether an abandoned call is still busy: a process must not wait for it at its end."""
    return not all(ended.is_set() for ended in _abandoned)
