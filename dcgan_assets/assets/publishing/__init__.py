"""From a candidate to published networks: it is measured, and published or the champion kept."""
