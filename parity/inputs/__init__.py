"""What networks are run on: image sets, cases, feeds."""
