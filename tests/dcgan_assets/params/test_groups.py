"""Sections of picture groups: each rule holds, and each mistake is one line that names the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dcgan_assets.assets.training.training_set import deal_held_out
from dcgan_assets.params.dedup import Deduplication
from dcgan_assets.params.file import PROFILES, Params, profile_text, validate_params
from dcgan_assets.params.groups import PictureGroup
from dcgan_assets.params.pictures import GroupImages, TrainingSet
from dcgan_assets.sources.lsun_downloads import LSUN_CATEGORIES
from dcgan_models.errors import UserError
from dcgan_models.presets import SIZES

Edit = Callable[[dict[str, Any]], object]
Images = dict[str, Any]

FOLDER: Images = {"source": "folder", "path": "cats", "size": 64, "shards": 1}
ARCHIVE: Images = {**FOLDER, "source": "archive", "path": "cats.zip"}
DATABASE: Images = {**FOLDER, "source": "lsun", "path": "bedroom_train_lmdb"}
DOWNLOAD: Images = {"source": "lsun", "category": "bedroom", "size": 64, "shards": 64}
IMAGENET: Images = {**FOLDER, "source": "imagenet", "path": "ILSVRC2012_img_train.tar"}
CIFAR10: Images = {"source": "cifar10", "size": 64, "shards": 1}
NEEDED = [name for name, field in PictureGroup.model_fields.items() if field.is_required()]
PHOTOGRAPHS: Images = {"source": "photographs", "pictures": 100, "size": 64, "shards": 2}


def profile(name: str = "sample") -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(profile_text(name))
    return content


def with_group(edit: Edit = lambda group: None, name: str = "cats") -> dict[str, Any]:
    """The sample profile with a group made from a folder; `edit` gets its section."""
    lsun = profile()["lsun"]
    group = {key: lsun[key] for key in NEEDED}
    group["images"] = dict(FOLDER)
    edit(group)
    return {**profile(), "groups": {name: group}}


def with_lsun(edit: Edit) -> dict[str, Any]:
    content = profile()
    edit(content["lsun"])
    return content


def params(content: dict[str, Any]) -> Params:
    return validate_params(content, "params.yaml")


def refusal(content: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        params(content)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("params.yaml: ")
    return line.removeprefix("params.yaml: ")


def images(section: Images) -> GroupImages:
    return params(with_lsun(lambda lsun: lsun.update(images=section))).lsun.images


# --- Where pictures come from ---------------------------------------------------------------


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
            "`pictures` is needed with `source: photographs`, and only there",
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
            "`pictures` is needed with `source: photographs`",
            id="photographs without a number",
        ),
        pytest.param(
            {**FOLDER, "pictures": 100},
            "`pictures` is needed with `source: photographs`, and only there",
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


# --- What must fit together -----------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_as_large_as_the_networks_draw_them(size: int) -> None:
    def edit(group: dict[str, Any]) -> None:
        group["images"].update(size=size)
        group["candidate"] = {**group["candidate"], "size": size}

    group = params(with_group(edit)).groups["cats"]
    assert group.candidate.resolved().image == (3, size, size)
    other = 128 if size != 128 else 64

    def spoil(group: dict[str, Any]) -> None:
        edit(group)
        group["images"].update(size=other)

    line = refusal(with_group(spoil))
    assert line == (
        f"groups.cats: images.size is {other} and candidate's networks draw {size}; "
        f"set candidate.size to {other}"
    )


def test_a_snapshot_that_is_drawn_is_kept() -> None:
    line = refusal(with_group(lambda group: group["samples"].update(epochs=[1, 7, 5, 3])))
    assert line == "groups.cats: samples.epochs: no snapshot is kept of [3, 7]"
    line = refusal(with_lsun(lambda lsun: lsun["candidate"].pop("snapshots")))
    assert line == "lsun: samples.epochs: no snapshot is kept of [1, 5]"
    line = refusal(with_group(lambda group: group["candidate"].update(epochs=3)))
    assert line == "groups.cats: samples.epochs: training ends with epoch 3, before [5]"
    params(with_group(lambda group: group["candidate"].update(epochs=3, decay_epochs=2)))
    # Snapshots that no figure shows are no mistake.
    params(with_group(lambda group: group["samples"].update(epochs=[])))


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "sample"])
def test_the_papers_bedrooms_are_downloaded(name: str) -> None:
    lsun = params(profile(name)).lsun
    assert (lsun.images.source, lsun.images.stand_in) == ("lsun", False)
    assert lsun.images.size == lsun.candidate.resolved().image[1] == 64


def test_the_paper_removes_equal_codes() -> None:
    assert params(profile("paper")).lsun.manifest.bits == 0
    assert Deduplication(mode="exact", radius=5).bits == 0
    assert Deduplication(mode="near", radius=5).bits == 5


def test_a_classifier_needs_labels() -> None:
    classifier = {"kind": "classifier", "updates": 10}
    line = refusal(with_group(lambda group: group.update(extractor=classifier)))
    assert line == (
        "groups.cats: extractor.kind: classifier needs labels; allowed here: autoencoder"
    )
    content = profile()
    content["svhn"]["extractor"] = classifier
    assert params(content).svhn.extractor.kind == "classifier"


# --- The other sections ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("training_set.held_out", 1.5, "less than or equal to 1"),
        ("training_set.held_out", "0.1", "valid number"),
        ("training_set.held_out_most", 0, "greater than 0"),
        ("candidate.health.diversity", -0.1, "greater than or equal to 0"),
        ("candidate.health.label_agreement", 0.5, "unknown key; allowed here: diversity"),
        ("candidate.snapshots.0", 0, "greater than 0"),
        ("extractor.kind", "inception", "'autoencoder' or 'classifier'"),
        ("extractor.epochs", 0, "greater than 0"),
        ("quality.samples", 19, "greater than or equal to 20"),
        ("quality.margin", 1.5, "less than or equal to 1"),
        ("quality.measure", "fid", "'frechet_distance', 'kernel_distance' or 'swd'"),
        ("candidate.precision", "fp16", "'auto', 'fp32' or 'bf16'"),
        ("samples.rows", 0, "greater than 0"),
        ("samples.columns", 2.5, "integer"),
        ("latent_walk.steps", 1, "greater than or equal to 2"),
        ("latent_walk.segments", 0, "greater than 0"),
        ("latent_walk.pixel_rows", 0, "greater than 0"),
    ],
)
def test_a_groups_sections(key: str, value: object, words: str) -> None:
    for where, content in (("groups.cats", with_group), ("lsun", with_lsun)):
        line = refusal(content(lambda section: put(section, key, value)))
        assert line.startswith(f"{where}.{key}: ")
        assert words in line


def put(section: dict[str, Any], key: str, value: object) -> None:
    """Set the value at a dotted key; a number at its end is a place in a list."""
    *path, last = key.split(".")
    for name in path[:-1] if last.isdigit() else path:
        section = section[name]
    if last.isdigit():
        section[path[-1]] = [value]
    else:
        section[last] = value


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dedup_autoencoder.epochs", 0, "greater than 0"),
        ("dedup_autoencoder.batch", 0, "greater than 0"),
        ("dedup_autoencoder.max_updates", 0, "greater than 0"),
        ("dedup_autoencoder.learning_rate", 0, "greater than 0"),
        ("dedup_autoencoder.learning_rate", float("nan"), "finite number"),
        ("dedup_autoencoder.probes", 2, "less than or equal to 1"),
        ("manifest.mode", "nearly", "'exact' or 'near'"),
        ("manifest.radius", 0, "greater than or equal to 1"),
        ("manifest.radius", 11, "less than or equal to 10"),
        ("dedup_report.probes", 0, "greater than 0"),
        ("dedup_report.pairs", "all", "integer"),
        ("dedup_report.verdict", "x.csv", "unknown key; allowed here: probes, pairs, verdicts"),
        ("nearest_training_images.neighbours", 0, "greater than 0"),
        ("nearest_training_images.shown", 0, "greater than 0"),
    ],
)
def test_sections_of_the_deduplication(key: str, value: object, words: str) -> None:
    line = refusal(with_lsun(lambda lsun: put(lsun, key, value)))
    assert line.startswith(f"lsun.{key}: ")
    assert words in line


@pytest.mark.parametrize("name", NEEDED)
def test_a_group_without_one_of_its_sections(name: str) -> None:
    line = refusal(with_group(lambda group: group.pop(name)))
    assert line == f"groups.cats.{name}: this key is missing"


FIGURES: dict[str, Any] = {
    "vector_arithmetic": {"expressions": ["warm_bright - cool_bright + cool_dark"]},
    "guided_backprop": {"filters": [0], "hits": 2},
    "turn_vector": {"start": "left", "end": "right"},
    "window_dropout": {"category": "window"},
}


def test_a_group_has_the_figures_that_have_a_section() -> None:
    assert params(with_group()).groups["cats"].figures() == ()
    assert params(profile()).lsun.figures() == ("guided_backprop", "window_dropout")
    some = {name: FIGURES[name] for name in ("turn_vector", "window_dropout")}
    found = params(with_group(lambda group: group.update(some)))
    assert found.groups["cats"].figures() == ("window_dropout", "turn_vector")


@pytest.mark.parametrize("name", FIGURES)
def test_an_unknown_key_of_a_figure_names_those_that_exist(name: str) -> None:
    section = {**FIGURES[name], "colour": "red"}
    line = refusal(with_group(lambda group: group.update({name: section})))
    known = ", ".join(
        type(
            getattr(params(with_group(lambda g: g.update(FIGURES))).groups["cats"], name)
        ).model_fields
    )
    assert line == f"groups.cats.{name}.colour: unknown key; allowed here: {known}"


def test_a_users_group_has_no_deduplication() -> None:
    section = profile()["lsun"]["manifest"]
    line = refusal(with_group(lambda group: group.update(manifest=section)))
    assert line.startswith("groups.cats.manifest: unknown key; allowed here: training_set, ")


# --- Names of groups ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cats", "c", "cats_2024", "c" * 31])
def test_names_that_are_allowed(name: str) -> None:
    assert list(params(with_group(name=name)).groups) == [name]


@pytest.mark.parametrize("name", ["Cats", "9lives", "_cats", "my cats", "", "c" * 32, "cats/dogs"])
def test_names_that_are_not(name: str) -> None:
    line = refusal(with_group(name=name))
    assert line.startswith(f"groups.{name}")
    assert "^[a-z][a-z0-9_]{0,30}$" in line


@pytest.mark.parametrize("name", ["mnist", "lsun", "report", "seed", "groups"])
def test_names_that_are_taken(name: str) -> None:
    assert f"groups.{name}: the name is taken" in refusal(with_group(name=name))


def test_at_least_so_many_are_held_out_where_half_is_enough() -> None:
    def held_out(n: int, share: float, people: int = 0, **bounds: int) -> int:
        dealt = [f"{number % people if people else number}" for number in range(n)]
        section = TrainingSet(held_out=share, **bounds)
        pictures = [f"{number}" for number in range(n)]
        return int((deal_held_out(dealt, [None] * n, section, pictures) == "held_out").sum())

    # As many as `quality` needs, of 40 pictures and more; fewer keep their share.
    assert [held_out(n, 0.1) for n in (40, 60, 120)] == [20, 20, 20]
    assert held_out(39, 0.1) < 12
    assert held_out(1_000, 0.1) > 70
    assert held_out(1_000, 0.0) == 0
    assert held_out(1_000, 0.001, held_out_least=50, held_out_most=30) == 30
    # People stay whole, so that there may be more, or none where it would be too many.
    assert held_out(120, 0.01, people=10) == 24
    assert held_out(120, 0.001, people=1) == 0
