"""What git and DVC keep of artefacts, and how they come back."""
