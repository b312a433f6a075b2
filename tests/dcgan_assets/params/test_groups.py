"""Sections of picture groups: each rule holds, and each mistake is one line that names the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from edited_params import (
    COVERS,
    NEEDED,
    Edit,
    edited,
    params,
    profile,
    put,
    refusal,
    with_covers,
    with_group,
    with_lsun,
)

from dcgan_models.presets import SIZES

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
    def early(group: dict[str, Any]) -> None:
        group["candidate"].update(snapshots=[1, 5])
        group["samples"].update(epochs=[1, 5])

    def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        return with_group(lambda group: (early(group), change(group)))

    line = refusal(changed(lambda group: group["samples"].update(epochs=[1, 7, 5, 3])))
    assert line == "groups.cats: samples.epochs: no snapshot is kept of [3, 7]"
    line = refusal(with_lsun(lambda lsun: lsun["candidate"].pop("snapshots")))
    assert line == "lsun: samples.epochs: no snapshot is kept of [1]"
    line = refusal(changed(lambda group: group["candidate"].update(epochs=3)))
    assert line == "groups.cats: samples.epochs: training ends with epoch 3, before [5]"
    params(changed(lambda group: group["candidate"].update(epochs=3, decay_epochs=2)))
    # Snapshots that no figure shows are no mistake.
    params(changed(lambda group: group["samples"].update(epochs=[])))


@pytest.mark.parametrize("name", ["small", "paper"])
def test_the_papers_bedrooms_are_downloaded(name: str) -> None:
    lsun = params(profile(name)).lsun
    assert (lsun.images.source, lsun.images.stand_in) == ("lsun", False)
    assert lsun.images.size == lsun.candidate.resolved().image[1] == 64


def test_no_extractor_learns_labels() -> None:
    """By its features networks are chosen, and of SVHN's labels a thousand are all that is seen."""
    content = profile()
    content["svhn"]["extractor"] = {"kind": "classifier", "updates": 10}
    assert "svhn.extractor.kind: unknown key" in refusal(content)


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
        ("extractor.kind", "inception", "unknown key; allowed here: epochs"),
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
    inside = ("guided_backprop", "window_dropout", "judge", "claims", "ablations", "explorer")
    assert params(profile()).lsun.figures() == inside
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


# --- Built-in groups ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda c: c["faces"]["image_urls"].update(searches=["commons"]),
            ["faces: people.source and image_urls.searches are both `packaged`, or neither is"],
        ),
        (
            lambda c: c["faces"]["people"]["packaged"].update(name=3),
            ["faces.people.packaged.name: unknown key; allowed here: names, faces, others, seed"],
        ),
        (
            lambda c: c["faces"]["face_boxes"]["second"].update(path="x"),
            ["faces.face_boxes.second.path: unknown key; allowed here: name, model"],
        ),
        (
            lambda c: c["faces"]["candidate"].update(size=128),
            ["faces: faces are 64 pixels wide and candidate's networks draw 128"],
        ),
        (lambda c: c["faces"].pop("removals"), ["faces.removals: this key is missing"]),
        (lambda c: c["faces"]["photos"].update(contact="a@b.test"), ["faces.photos.contact: unkn"]),
        (lambda c: c["operator"].update(contact=3), ["operator.contact: "]),
        (
            lambda c: c["albums"].update(search=COVERS),
            ["albums: `search` is needed with `images.source: search`, and only there"],
        ),
        (
            lambda c: c["albums"].update(images={"source": "search", "size": 128, "shards": 3}),
            ["albums: `search` is needed with `images.source: search`"],
        ),
        pytest.param(
            lambda c: c["imagenet"]["images"].update(size=64),
            ["imagenet: ", "64"],
            id="a D that looks at other sizes",
        ),
        pytest.param(
            lambda c: c["svhn"]["supervised_cnn"].update(per_class=41),
            ["svhn: ", "supervised_cnn.per_class is 41 and svm_scores.per_class 40"],
            id="a control with other labels",
        ),
    ],
)
def test_a_mistake_is_one_line(edit: Edit, words: list[str]) -> None:
    line = refusal(edited(edit))
    for word in words:
        assert word in line


def test_a_group_of_the_users_own_is_searched_for_nowhere() -> None:
    images = {"source": "search", "size": 64, "shards": 3}
    line = refusal(with_group(lambda group: group.update(images=images)))
    assert line == "groups.cats: images.source: `search` is for albums alone"


def test_a_shard_of_covers_becomes_a_shard_of_pictures() -> None:
    content = edited(with_covers, lambda c: c["albums"]["images"].update(shards=4))
    assert "search.photos.shards is 3 and images.shards 4" in refusal(content)


# --- What judges see --------------------------------------------------------------------------

JUDGE = {"factors": ["window", "window_box", "bed"]}


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"forget": "lamp"}, "claims: 'lamp' is not judged; judged are window, window_box, bed"),
        ({"turn": "yaw"}, "claims: 'yaw' is not judged"),
        ({"forget": "window", "beside": ["door"]}, "claims: 'door' is not judged"),
        ({"forget": "bed"}, "claims.forget: bed_box must be judged as well"),
        (
            {"expressions": ["bed - nohat"]},
            "claims.expressions: concept 'nohat': nothing is judged",
        ),
        (
            {"expressions": ["bed + nobed"]},
            "claims.expressions: the expression does not add up: bed and its opposite are left",
        ),
        ({"expressions": ["bed_nobed"]}, "it asks for bed and for its opposite"),
        ({"epochs": [1, 20]}, "claims.epochs: [20] are not in samples.epochs"),
        ({"filters": [1, 1]}, "filters: each may be named once"),
    ],
)
def test_claims_are_of_what_is_judged(claims: dict[str, Any], words: str) -> None:
    assert words in refusal(edited(lambda c: c["lsun"].update(judge=JUDGE, claims=claims)))


def test_claims_need_a_judge() -> None:
    line = refusal(edited(lambda c: c["lsun"].update(judge=None)))
    assert "a section `judge` is needed beside it" in line


# --- Ablations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 128}, "ablations: their networks draw 128 pixels and candidate's 64"),
        ({"preset": "mnist28", "size": None}, "ablations: their networks draw 28 pixels"),
        ({"seeds": 1}, "ablations.seeds: Input should be greater than or equal to 2"),
        ({"samples": 1}, "ablations.samples: Input should be greater than or equal to 2"),
    ],
)
def test_ablations_are_of_a_part_of_the_pictures_size(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(edited(lambda c: c["lsun"]["ablations"].update(changes)))
