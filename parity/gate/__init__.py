"""Judge a stored run: may this release go out? Nothing here runs a model."""
