"""Split files into pieces that fit a git host, and merge them back bit for bit."""
