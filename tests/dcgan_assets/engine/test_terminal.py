"""What is said of a name that there is not."""

from __future__ import annotations

import pytest

from dcgan_assets.engine.terminal import unknown

KNOWN = ("mnist/images", "lsun/images", "svhn/images", "faces/photos", "faces/images", "lsun")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lsun/imgaes", " (did you mean lsun/images"),
        ("facesphotos", " (did you mean faces/photos?)"),
        ("nosuch", ""),
        ("", ""),
    ],
)
def test_the_nearest_names_are_named_and_no_more_than_three(name: str, hint: str) -> None:
    line = str(unknown("asset", name, KNOWN, "`dcgan ui` shows all"))
    assert line.startswith(f"unknown asset {name!r}{hint}")
    assert line.endswith("; `dcgan ui` shows all")
    assert line.count(" or ") <= 2
    assert ("did you mean" in line) == bool(hint)
