"""Code versions: hashes of what assets compute."""
