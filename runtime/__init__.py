"""Run the exported files without torch."""
