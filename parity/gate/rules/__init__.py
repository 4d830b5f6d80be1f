"""The gate's rules, grouped by what they look at. A rule takes the evidence and the policy."""
