"""Names and addresses asked of known APIs, one request at a time."""
