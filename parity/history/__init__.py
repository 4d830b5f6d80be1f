"""What changed between reports, whether it is more than noise, and since which release."""
