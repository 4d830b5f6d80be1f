"""What every test may rely on."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Ctrl-C reaches the programs under test, also where a shell started pytest with `&`.

    Such a shell lets its children ignore SIGINT, and so would all of theirs.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
