"""From a source's bytes to pixels and rows of a manifest."""
