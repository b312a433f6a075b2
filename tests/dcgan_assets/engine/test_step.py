"""Declarations: how a group's steps get their keys, and what a step says from where it stands."""

from __future__ import annotations

from pathlib import Path

from small_graph import SmallGraph

from dcgan_assets.engine.step import Outcome, Reading, StepMaker, named, where_there
from dcgan_assets.params.file import profile_text, validate_params
from dcgan_assets.params.yaml_files import parse_yaml


def constant(_: object) -> Outcome:
    return Outcome()


def test_keys_and_section_get_the_group_and_another_groups_key_stays() -> None:
    step = StepMaker("cats", "groups.cats", "boxes")
    made = step(
        ("generator", "discriminator"),
        inputs=("boxes", "imagenet/discriminator"),
        section="candidate",
        kind="models",
        compute=constant,
        description="",
    )
    assert made.outputs == ("cats/generator", "cats/discriminator")
    assert made.inputs == ("cats/boxes", "imagenet/discriminator")
    assert (made.section, made.pictures) == ("groups.cats.candidate", "boxes")
    plain = step("samples", kind="results", compute=constant, description="")
    assert (plain.outputs, plain.inputs) == (("cats/samples",), ())
    assert plain.section == "groups.cats.samples"


def test_around_a_section_is_what_holds_it(tmp_path: Path) -> None:
    params = validate_params(parse_yaml(profile_text("sample"), "sample"), "sample")
    for path, around in (("faces.photos", params.faces), ("lsun.images", params.lsun)):
        group, name = path.split(".")
        step = StepMaker(group, group)(name, kind="data", compute=constant, description="")
        reading = Reading(step, params.section(path), params, tmp_path)
        assert reading.around is around


def test_what_is_read_is_what_is_named_or_there(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    reading = catalogue.reading(catalogue.by_key["toy/images"], "01")
    assert (reading.root, reading.shard) == (small.root, "01")
    assert named(None, "a", None, "b") == ("a", "b")
    assert where_there(reading, "params.yaml") == ("params.yaml",)
    assert where_there(reading, "absent.json") == ()
    assert where_there(reading, "source") == ()  # a folder is no file
