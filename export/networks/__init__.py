"""What networks are, as data: specifications, the registry, and how a picture enters."""
