"""Features and linear classifiers (section 5 of the paper)."""
