"""Pictures from strangers' servers, many at once."""
