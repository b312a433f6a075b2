"""Deduplication by semantic hashes: the paper's way for LSUN (section 3.1), and how to check it.

autoencoder.py turns 32x32 pictures into 128-bit codes, judging.py says whether the codes can be
trusted, grouping.py finds equal and near codes and what is a duplicate of what. codes.py counts
bits. planted.py measures recall on planted duplicates, baselines.py holds the usual hashes.
"""
