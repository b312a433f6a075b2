"""Near-duplicates by semantic hashes (section 3.1 of the paper)."""
