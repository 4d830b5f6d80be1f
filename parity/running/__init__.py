"""One comparison, from cases to rows."""
