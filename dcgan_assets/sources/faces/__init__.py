"""Faces: from people's photographs to training pictures (sections 3.3 and 4 of the paper)."""
