"""From rows of pictures to a candidate: the training set, the extractor, the training."""
