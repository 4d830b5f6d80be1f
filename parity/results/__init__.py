"""What was found, as data, and the files that hold it. Nothing runs a network here."""
