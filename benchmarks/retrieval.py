"""Speed of the exact retrieval over two feature spaces: `python -m benchmarks.retrieval`.

400,000 references, streamed in blocks of 10,000, against 1,000 queries, 10 nearest each, by a code
of 128 features and 1,024 of a discriminator, the widths of LSUN bedrooms. The measures are this
project's search, scikit-learn's brute force on the same distance (the scaled spaces side by side,
all references at once), and the bare float32 products of the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from benchmarks.harness import interleaved, options, ratios, report
from benchmarks.nearest import bare_product
from dcgan_models.neighbours.retrieval import median_distance, nearest_by

REFERENCES = 400_000
QUERIES = 1_000
NEAREST = 10
BLOCK = 10_000
WIDTHS = (128, 1024)
FACTORS = 30  # what the pictures vary in; both spaces see it through their own units


def features(count: int, seed: int) -> list[Tensor]:
    """Features of made-up pictures: rectified mixtures of 30 factors, and noise, in each space."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(count, FACTORS, generator=generator)
    spaces = []
    for number, width in enumerate(WIDTHS):
        mixing = torch.randn(FACTORS, width, generator=torch.Generator().manual_seed(1000 + number))
        units = (factors @ mixing).add_(torch.randn(count, width, generator=generator))
        spaces.append(units.relu_() if number == 0 else torch.nn.functional.leaky_relu(units, 0.2))
    return spaces


def main() -> None:
    arguments = options("Speed of the exact retrieval over two spaces.", runs=5).parse_args()
    references, queries = features(REFERENCES, seed=0), features(QUERIES, seed=1)
    scales = [median_distance(space) for space in features(1_000, seed=2)]
    rows = torch.arange(REFERENCES)
    answers = {}

    def blocks() -> Iterator[tuple[list[Tensor], Tensor]]:
        for low in range(0, REFERENCES, BLOCK):
            piece = slice(low, low + BLOCK)
            yield [space[piece] for space in references], rows[piece]

    def ours() -> None:
        answers["ours"] = nearest_by(queries, blocks(), NEAREST, scales=scales).rows.numpy()

    def side_by_side(spaces: list[Tensor]) -> Tensor:
        return torch.cat([space / scale for space, scale in zip(spaces, scales, strict=True)], 1)

    both, both_queries = side_by_side(references).numpy(), side_by_side(queries).numpy()

    def scikit_learn() -> None:
        model = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute").fit(both)
        answers["theirs"] = model.kneighbors(both_queries, return_distance=False)

    def bare() -> None:
        for mine, theirs in zip(queries, references, strict=True):
            bare_product(mine, theirs)

    seconds = interleaved(
        {"ours": ours, "bare": bare, "scikit-learn": scikit_learn}, arguments.runs
    )
    report(
        {
            "references": REFERENCES,
            "queries": QUERIES,
            "nearest": NEAREST,
            "features": f"{WIDTHS[0]} and {WIDTHS[1]}, made up from {FACTORS} common factors",
            "places that differ from scikit-learn's": int(
                np.count_nonzero(answers["ours"] != answers["theirs"])
            ),
        },
        {
            "this project (s)": seconds["ours"],
            "scikit-learn brute force (s)": seconds["scikit-learn"],
            "bare float32 products (s)": seconds["bare"],
            "million pairs a second": [REFERENCES * QUERIES / 1e6 / s for s in seconds["ours"]],
            "speed / scikit-learn's": ratios(seconds["scikit-learn"], seconds["ours"]),
            "speed / bare products'": ratios(seconds["bare"], seconds["ours"]),
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
