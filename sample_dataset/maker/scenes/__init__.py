"""What the cameras see: one scene a file, as a function of a variant's name."""
