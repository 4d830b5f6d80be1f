"""A folder that can be shipped: pieces, locks, reports, model card, checksums, provenance."""
