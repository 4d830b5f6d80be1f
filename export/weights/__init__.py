"""Whose weights: checkpoints, their coverage, stand-in values, and the published download."""
