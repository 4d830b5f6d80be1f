"""The networks, one a file, written from a description of their arithmetic."""
