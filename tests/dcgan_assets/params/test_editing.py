"""params.yaml after a command's edit: where it lies, who may read it, and what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest
from edited_params import with_group
from fixture_types import Refused

from dcgan_assets.params.editing import add_group_section
from dcgan_assets.params.file import PARAMS_FILE, load_params, profile_text

SECTION = with_group()["groups"]["cats"]


@pytest.mark.parametrize(
    "end",
    ["", "groups:\n", "groups: {}\n", "groups: ~\n"],
    ids=["no groups", "nothing after its colon", "an empty mapping", "null"],
)
def test_a_group_is_added_whatever_stands_for_none(tmp_path: Path, end: str) -> None:
    path = tmp_path / PARAMS_FILE
    path.write_text(profile_text("sample") + end, encoding="utf-8")
    add_group_section(tmp_path, "cats", SECTION)
    assert list(load_params(path).groups) == ["cats"]
    assert path.read_text("utf-8").startswith(profile_text("sample"))


def test_a_symlink_stays_one_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "mine.yaml"
    real.parent.mkdir()
    real.write_text(profile_text("sample"), encoding="utf-8")
    real.chmod(0o640)
    (tmp_path / PARAMS_FILE).symlink_to(real)
    add_group_section(tmp_path, "cats", SECTION)
    assert (tmp_path / PARAMS_FILE).is_symlink()
    assert list(load_params(tmp_path / PARAMS_FILE).groups) == ["cats"]
    assert real.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in real.parent.iterdir()] == ["mine.yaml"]


def test_a_name_that_came_in_the_meantime_is_not_written_over(
    tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / PARAMS_FILE
    path.write_text(profile_text("sample"), encoding="utf-8")
    add_group_section(tmp_path, "cats", SECTION)
    before = path.read_bytes()
    with refused("groups.cats is in params.yaml already; choose another name"):
        add_group_section(tmp_path, "cats", SECTION)
    assert path.read_bytes() == before
