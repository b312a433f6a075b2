"""From a training set to published networks."""
