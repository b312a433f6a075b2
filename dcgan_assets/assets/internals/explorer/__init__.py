"""`GROUP/explorer`: a generator to play with, as one web page."""
