"""From a source to rows and pixels."""
