"""Sections on pictures: what each source needs, and how many are held out."""

from __future__ import annotations

from typing import Any

import pytest
from edited_params import FOLDER, Edit, edited, params, refusal, with_group, with_lsun

from dcgan_assets.params.pictures import GroupImages
from dcgan_assets.sources.lsun_downloads import LSUN_CATEGORIES
from dcgan_models.presets import SIZES

Images = dict[str, Any]


ARCHIVE: Images = {**FOLDER, "source": "archive", "path": "cats.zip"}


DATABASE: Images = {**FOLDER, "source": "lsun", "path": "bedroom_train_lmdb"}


DOWNLOAD: Images = {"source": "lsun", "category": "bedroom", "size": 64, "shards": 64}


IMAGENET: Images = {**FOLDER, "source": "imagenet", "path": "ILSVRC2012_img_train.tar"}


CIFAR10: Images = {"source": "cifar10", "size": 64, "shards": 1}


PHOTOGRAPHS: Images = {"source": "photographs", "pictures": 100, "size": 64, "shards": 2}


def images(section: Images) -> GroupImages:
    return params(with_lsun(lambda lsun: lsun.update(images=section))).lsun.images


@pytest.mark.parametrize(
    "section",
    [
        FOLDER,
        ARCHIVE,
        DATABASE,
        DOWNLOAD,
        IMAGENET,
        CIFAR10,
        {**CIFAR10, "path": "raw/cifar10"},
        PHOTOGRAPHS,
        {**PHOTOGRAPHS, "source": "things"},
    ],
)
def test_each_source_with_what_it_needs(section: Images) -> None:
    found = images(section)
    assert {name: getattr(found, name) for name in section} == section
    assert not found.stand_in
    assert found.downloaded == (section in (DOWNLOAD, CIFAR10))


def test_no_picture_is_blown_up_unless_it_is_asked_for() -> None:
    def section(**changes: Any) -> GroupImages:
        return GroupImages.model_validate({**FOLDER, **changes})

    for size in SIZES:
        assert section(size=size).least_side == size
        assert section(size=size, min_side=20).least_side == 20
        assert GroupImages.model_validate({**PHOTOGRAPHS, "size": size}).least_side == 32
    default, said = section(size=64), section(size=64, min_side=64)
    assert default.identity() == said.identity()
    assert GroupImages.model_validate(default.identity()) == said


@pytest.mark.parametrize(
    ("section", "words"),
    [
        pytest.param(
            {**FOLDER, "path": None}, "`path` is needed unless", id="a folder without a path"
        ),
        pytest.param(
            {**ARCHIVE, "path": None}, "`path` is needed unless", id="an archive without a path"
        ),
        pytest.param(
            {**DATABASE, "path": None}, "`path` is needed unless", id="a database without a path"
        ),
        pytest.param(
            {**IMAGENET, "path": None}, "`path` is needed unless", id="ImageNet without a path"
        ),
        pytest.param(
            {**IMAGENET, "category": "bedroom"},
            "`category` goes with `source: lsun`",
            id="a category of ImageNet",
        ),
        pytest.param(
            {**CIFAR10, "pictures": 100},
            "`photographs`, `rooms`, `faces` or `things`, and only there",
            id="a number of pictures of CIFAR-10",
        ),
        pytest.param(
            {**DOWNLOAD, "path": "here"}, "`path` is needed unless", id="a download with a path"
        ),
        pytest.param(
            {**PHOTOGRAPHS, "path": "here"}, "`path` is needed unless", id="photographs elsewhere"
        ),
        pytest.param(
            {**PHOTOGRAPHS, "pictures": None},
            "`pictures` is needed with `source` `photographs`",
            id="photographs without a number",
        ),
        pytest.param(
            {**FOLDER, "pictures": 100},
            "`photographs`, `rooms`, `faces` or `things`, and only there",
            id="a number of pictures of a folder",
        ),
        pytest.param(
            {**FOLDER, "path": None, "category": "bedroom"},
            "`category` goes with `source: lsun`",
            id="a category of a folder",
        ),
        pytest.param(
            {**PHOTOGRAPHS, "category": "bedroom"},
            "`category` goes with `source: lsun`",
            id="a category of photographs",
        ),
    ],
)
def test_a_source_has_what_it_needs_and_nothing_else(section: Images, words: str) -> None:
    line = refusal(with_lsun(lambda lsun: lsun.update(images=section)))
    assert line.startswith("lsun.images: ")
    assert words in line


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("source", "flickr", ["'lsun', 'imagenet', 'cifar10' or 'search'", "'flickr'"]),
        ("shards", 0, ["greater than or equal to 1", "(found 0)"]),
        ("shards", 100, ["less than or equal to 99", "(found 100)"]),
        ("shards", "2", ["integer", "(found '2')"]),
        ("size", "64", ["integer", "(found '64')"]),
        ("min_side", 0, ["greater than 0"]),
        ("pictures", 0, ["greater than 0"]),
        ("held_out", -1, ["greater than or equal to 0"]),
        ("planted", 0.6, ["less than or equal to 0.5", "(found 0.6)"]),
        ("planted", -0.1, ["greater than or equal to 0"]),
        ("seed", -1, ["greater than or equal to 0"]),
        ("licence", 7, ["string", "(found 7)"]),
        ("stand_in", "perhaps", ["true or false", "'perhaps'"]),
        ("shard", 2, ["unknown key; allowed here: source, path, category, size"]),
    ],
)
def test_a_value_that_is_not_allowed(key: str, value: object, words: list[str]) -> None:
    line = refusal(with_lsun(lambda lsun: lsun["images"].update({key: value})))
    assert line.startswith(f"lsun.images.{key}: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize("size", [0, -64, 48, 256])
def test_a_size_that_no_network_draws(size: int) -> None:
    line = refusal(with_group(lambda group: group["images"].update(size=size)))
    assert line == (
        f"groups.cats.images.size: pictures are 16, 32, 64, 128 pixels wide, not {size}"
    )


def test_lsun_has_ten_categories() -> None:
    for category in LSUN_CATEGORIES:
        assert images({**DOWNLOAD, "category": category}).category == category
    line = refusal(with_lsun(lambda lsun: lsun.update(images={**DOWNLOAD, "category": "garage"})))
    assert line.startswith("lsun.images.category: LSUN has no 'garage'; allowed: bedroom, bridge")
    assert line.endswith("tower")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(
            lambda c: c["cifar10"]["images"].update(source="folder"),
            ["cifar10.images: ", "`path` is needed with `source: folder`"],
            id="folder without path",
        ),
        pytest.param(
            lambda c: c["cifar10"]["images"].pop("test"),
            ["cifar10.images: ", "`train` and `test` are needed with the packaged stand-in"],
            id="stand-in without size",
        ),
        pytest.param(
            lambda c: c["svhn"]["images"].update(extra=True),
            ["svhn.images: ", "`extra` goes with `source: folder` or `source: download`"],
            id="extra of a stand-in",
        ),
    ],
)
def test_labelled_pictures_have_what_their_source_needs(edit: Edit, words: list[str]) -> None:
    line = refusal(edited(edit))
    for word in words:
        assert word in line
