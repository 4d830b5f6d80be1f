"""The commands run on releases, faults and reports that tests of other folders make too."""

from __future__ import annotations

from tests.parity.gate.conftest import good, kept, make_release, write_bench
from tests.parity.locate.conftest import head_once, networks

__all__ = ["good", "head_once", "kept", "make_release", "networks", "write_bench"]
