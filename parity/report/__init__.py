"""Views of a result, one format a file. A report never runs a model."""
