"""Results as pandas tables."""

from __future__ import annotations

import math

from dcgan_assets.engine.results import Result, Row


def test_rows_become_a_frame_of_numbers() -> None:
    rows = [
        Row(name="ours", value=5.5, unit="%", n=1000, low=4, high=7, paper=3.1),
        Row(name="paper alone", paper=2),
    ]
    result = Result(asset="a/b", paper_ref="Table 1", profile="sample", stand_in=True, rows=rows)
    frame = result.frame()
    assert list(frame.columns) == list(Row.model_fields)
    assert frame["value"].dtype == frame["paper"].dtype == "float64"
    assert frame["n"].tolist()[0] == 1000
    assert frame["n"].isna().tolist() == [False, True]
    assert math.isnan(frame["value"][1])
    assert (frame["value"] - frame["paper"]).round(2).tolist()[0] == 2.4


def test_no_rows_are_an_empty_frame() -> None:
    result = Result(asset="a/b", paper_ref="", profile="sample", stand_in=False, rows=[])
    assert result.frame().empty
    assert list(result.frame().columns) == list(Row.model_fields)
