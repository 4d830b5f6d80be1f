"""What can be known of a file's weights, in the words of reports."""

from __future__ import annotations

PROVEN = "proven"
UNPROVEN = "weights unproven"
REFUTED = "other weights"
