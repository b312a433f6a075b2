"""What params.yaml may say: its sections by topic, and the file itself."""
