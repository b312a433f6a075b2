"""Exact nearest neighbours (section 8.1 of the paper)."""
