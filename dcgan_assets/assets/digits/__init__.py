"""MNIST: the conditional DCGAN and its nearest-neighbour table (section 8.1)."""
