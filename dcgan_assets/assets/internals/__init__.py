"""Looking inside the networks (section 6 of the paper)."""
