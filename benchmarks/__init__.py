"""Speed measurements, each a module to run: `python -m benchmarks.nearest`."""
