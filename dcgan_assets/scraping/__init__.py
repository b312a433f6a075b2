"""From people's names to pictures on the web: names, image searches, downloads, removals."""
