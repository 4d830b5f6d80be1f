"""Reference outputs that were computed before: a cache on this machine, a bundle for others."""
