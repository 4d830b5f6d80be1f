"""Graph transforms, one a file. Each says what it changed and where each new tensor came from."""
