"""Features, L2-SVM and protocols (section 5 of the paper)."""
