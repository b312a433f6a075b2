"""The authors' arrays: damaged, incomplete, or with objects in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from released_arrays import write_arrays

from dcgan_models.errors import UserError
from dcgan_models.released import load_released_svhn


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_arrays(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("200_gen_params.jl_04.npy", None, "jl_04.npy is missing: generator blocks.1.weight"),
        ("200_gen_params.jl_05.npy", np.zeros(64, np.float32), "expected (128,)"),
        ("200_discrim_params.jl_01.npy", np.full((64, 3, 5, 5), np.nan, np.float32), "not finite"),
        ("200_discrim_params.jl_03.npy", np.zeros(128), "float64, expected float32"),
        ("200_discrim_params.jl_09.npy", np.zeros(1, np.float32), "one array too many"),
    ],
)
def test_bad_arrays_are_one_line(
    written: Path, name: str, array: np.ndarray | None, expected: str
) -> None:
    (written / name).unlink(missing_ok=True)
    if array is not None:
        np.save(written / name, array)
    with pytest.raises(UserError) as caught:
        load_released_svhn(written)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_object_array_is_refused_and_never_unpickled(written: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(written / "trapped"),)

    np.save(written / "200_gen_params.jl_01.npy", np.array([Trap()], object), allow_pickle=True)
    shutil.rmtree(written / "trapped", ignore_errors=True)
    with pytest.raises(UserError, match="not a plain array"):
        load_released_svhn(written)
    assert not (written / "trapped").exists()


def test_cut_array_is_one_line(written: Path) -> None:
    path = written / "200_gen_params.jl_04.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"jl_04.*not a plain array"):
        load_released_svhn(written)
