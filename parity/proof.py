"""What can be known of a file's weights, in the words of reports."""

from __future__ import annotations

PROVEN = "proven"  # derived again from the reference's own tensors, and compared
AS_LOCKED = "as its lock says"  # a lock is there that agrees, and nothing to derive it again from
UNPROVEN = "weights unproven"  # no lock
REFUTED = "other weights"
# Of several files together the least is what holds.
LEAST_FIRST = (REFUTED, UNPROVEN, AS_LOCKED, PROVEN)
