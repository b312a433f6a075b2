"""Writers of the generated pages: `python -m docs.writers`."""
