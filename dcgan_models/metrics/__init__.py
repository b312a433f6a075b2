"""Measures of generated pictures. None is comparable across n, split, resizer or extractor.

Each climbs one ladder: pictures, features, statistics, number. Pictures are uint8 NHWC and are
read a block at a time; features are float32 (n, d) of an `extractor.Extractor`; a number leaves as
a `rows.Score`, which carries what it depends on.

Without a network: wasserstein.py (SWD), similarity.py (MS-SSIM), and neighbours.py on pixels. In
a feature space: frechet.py, kernel.py, manifolds.py, neighbours.py, and memorisation.py, which
tells a copy of the training set from a good generator; twins.py finds held-out pictures that are
copies, planted_copies.py says how well copies are seen. table.py makes all of them at once;
inception.py hands pictures to torch-fidelity for true FID, KID and Inception Score. intervals.py
holds every interval, shares.py what needs nothing but NumPy. gate.py decides by them whether a
generator is published. judge.py reads what is to be seen, and calibration.py mends its shares.
"""

from dcgan_models.metrics.intervals import wilson_interval
from dcgan_models.metrics.shares import class_spread, share_by_class

__all__ = ["class_spread", "share_by_class", "wilson_interval"]
