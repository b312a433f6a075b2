"""Which positions a box covers, and what changed inside of it, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dcgan_models.internals.boxes import Box, Change, box_change, on_object, touched


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(0, 0, 0, 64, 64), range(8), range(8)),
        (Box(0, 8, 16, 16, 8), range(2, 3), range(1, 3)),
        (Box(0, 4, 4, 1, 1), range(1), range(1)),  # begins at the centre of the first cell
        (Box(0, 4.1, 0, 8, 8), range(1), range(1, 2)),
        (Box(0, 29, 33, 2, 2), range(4, 5), range(3, 4)),  # holds no centre
        (Box(0, 62, 62, 2.3, 2.3), range(7, 8), range(7, 8)),
    ],
)
def test_positions_whose_cells_have_their_centre_in_the_box(
    box: Box, rows: range, columns: range
) -> None:
    expected = np.zeros((8, 8), bool)
    expected[rows.start : rows.stop, columns.start : columns.stop] = True
    np.testing.assert_array_equal(on_object(box, (8, 8), (64, 64)), expected)


def test_maps_that_do_not_divide_the_picture_have_cells_all_the_same() -> None:
    found = on_object(Box(0, 0, 0, 14, 28), (7, 14), (28, 28))
    assert found[:, :7].all()
    assert not found[:, 7:].any()


def test_change_by_hand() -> None:
    before, after = np.full((2, 4, 4, 1), 100, np.uint8), np.full((2, 4, 4, 1), 103, np.uint8)
    after[0, 0:2, 1:3] = 80
    change = box_change(before, after, [Box(0, 1.4, 0, 1.2, 2), Box(0, 1, 0, 1, 1)])
    assert (change.inside, change.outside) == (20, 3)
    assert change.ratio == pytest.approx(20 / 3)


def test_what_only_changed_inside_or_not_at_all_has_a_ratio() -> None:
    assert Change(3.0, 0.0).ratio == math.inf
    assert Change(0.0, 0.0).ratio == 1


def test_touched_cells_are_those_that_share_a_pixel_with_the_box() -> None:
    found = touched(Box(0, 7.5, 8, 9, 8), (8, 8), (64, 64))
    assert np.argwhere(found).tolist() == [[1, 0], [1, 1], [1, 2]]
