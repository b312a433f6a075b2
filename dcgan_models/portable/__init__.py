"""Generators for elsewhere: folded, rounded and written as a web page reads them."""
