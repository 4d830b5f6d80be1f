"""From a network to a checked graph: trace, provenance, last steps, self-check."""
