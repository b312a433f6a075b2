"""params.yaml: every template is valid, and every mistake is one line that says what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import CHECKOUT
from edited_params import Edit, edited, refusal
from pydantic import BaseModel

from dcgan_assets.params.file import (
    PROFILES,
    Params,
    load_params,
    profile_text,
    validate_params,
)
from dcgan_models.errors import UserError
from dcgan_models.presets import preset

GATE = ("seed", "sets", "most_sets", "margin", "copied")

_MNIST_TRAININGS = ("mnist.candidate", "mnist.fc_candidate", "mnist.ablations")
_CANDIDATE = ("width", "batch", "learning_rate", "size", "precision", "compile")
# What a template may leave out, and why its default is right in every profile.
LEFT_OUT = {
    "machine.engine",  # one machine; `dcgan engine` writes another one
    "machine.dvc",  # committed, and pushed by those who have a place for it
    "mnist.images.path",  # only with `source: folder`
    "mnist.images.split_seed",  # one shuffle for all
    "mnist.fc_candidate.snapshots",  # no figure shows them
    *(  # the preset's own
        f"{group}.ablations.{name}"
        for group in ("mnist", "lsun")
        for name in ("width", "size", "batch", "learning_rate")
    ),
    "faces.ablations",  # one group is enough
    *(  # the preset's own, which is the paper's
        f"mnist.{candidate}.{name}"
        for candidate in ("candidate", "fc_candidate")
        for name in ("width", "batch", "learning_rate")
    ),
    *(f"lsun.candidate.{name}" for name in ("width", "batch", "learning_rate")),  # likewise
    *(  # the preset's own size; what the machine does best
        f"{section}.{name}"
        for section in (
            "mnist.candidate",
            "mnist.fc_candidate",
            "mnist.ablations",
            "lsun.candidate",
        )
        for name in ("size", "precision", "compile")
    ),
    *(  # the paper's: the last weights draw, one width, no layer has a bias
        f"{section}.{name}"
        for section in (
            "mnist.ablations",
            "lsun.ablations",
            "mnist.candidate",
            "mnist.fc_candidate",
            *(f"{group}.candidate" for group in ("lsun", "faces", "albums", "imagenet", "svhn")),
        )
        for name in ("averaged", "biased", "discriminator_width", "schedule")
    ),
    "cifar10.features.validation",  # none: the last fit is on all training pictures
    "cifar10.features.seed",
    "svhn.features.seed",  # that of svm_scores
    *(  # what the page begins with; examples of arithmetic where the profile's words are known
        f"{group}.explorer{field}"
        for group in ("mnist", "lsun", "faces", "albums")
        for field in ("", ".samples", ".expressions", ".seed")
    ),
    "machine.log",  # none: each tool is an extra
    *("machine.processes", "machine.hosts"),  # one, until somebody has several GPUs, or machines
    "machine.join_seconds",  # only with several hosts
    "machine.exchange",  # the folder that is there
    *(  # of other sources
        f"lsun.images.{name}"
        for name in ("path", "category", "pictures", "held_out", "planted", "licence")
    ),
    *(f"lsun.images.{name}" for name in ("attribution", "stand_in", "seed", "min_side")),
    *(f"lsun.dedup_autoencoder.{name}" for name in ("max_updates", "batch", "learning_rate")),
    "lsun.manifest.radius",  # only with `mode: near`
    "lsun.dedup_report.verdicts",  # one place for all
    "lsun.training_set.held_out_most",
    *(  # what `quality` needs
        f"{group}.training_set.held_out_least"
        for group in ("lsun", "faces", "albums", "imagenet", "svhn")
    ),
    "lsun.latent_walk.seed",
    "lsun.guided_backprop.seed",
    *(f"lsun.window_dropout.{name}" for name in ("c", "controls", "seed")),
    "lsun.window_dropout.layer",  # by default the paper's, whatever the width
    *(f"lsun.{name}" for name in ("vector_arithmetic", "turn_vector")),  # figures of faces
    *(f"imagenet.candidate.{name}" for name in ("width", "batch", "learning_rate")),
    *(f"svhn.candidate.{name}" for name in ("width", "batch", "learning_rate")),
    *(
        f"{group}.candidate.{name}"
        for group in ("imagenet", "svhn")
        for name in ("size", "precision", "compile")
    ),
    *(  # of other sources
        f"imagenet.images.{name}"
        for name in ("path", "category", "pictures", "held_out", "planted", "licence")
    ),
    *(f"imagenet.images.{name}" for name in ("attribution", "stand_in", "seed", "min_side")),
    "imagenet.training_set.held_out_most",
    "svhn.training_set.held_out_most",
    *(  # of other sources
        f"{group}.images.{name}"
        for group in ("cifar10", "svhn")
        for name in ("path", "train", "test", "seed")
    ),
    *(  # one way of training, and one gate, for all groups
        f"{group}.{name}"
        for group in ("lsun", "faces", "albums", "imagenet", "svhn")
        for name in (
            *(f"extractor.{key}" for key in ("epochs", "updates", "batch", "learning_rate")),
            "extractor.seed",
            *(f"quality.{key}" for key in GATE),
            *(f"quality.{key}" for key in ("measure", "publish_unmeasured")),
            "quality.inception",  # a file that only the user has
        )
    ),
    *(f"mnist.publish.{key}" for key in GATE),
    "svhn.images.extra",  # the paper leaves them out
    *(  # what the picture in the UI shows; one split and one set of draws for all
        f"{group}.{name}"
        for group in ("cifar10", "svhn")
        for name in (
            "features.neighbours",
            "svm_scores.curve_draws",
            "svm_scores.seed",
            "supervised_cnn.width",
            "supervised_cnn.seed",
        )
    ),
    *(f"faces.{figure}" for figure in ("guided_backprop", "window_dropout")),
    *(  # as the paper's; one set of draws for all
        f"faces.{name}"
        for name in (
            "vector_arithmetic.reach",
            "vector_arithmetic.draws",
            "vector_arithmetic.seed",
            "turn_vector.rows",
            "turn_vector.steps",
            "turn_vector.reach",
        )
    ),
    "groups",  # the user's own
    "retraining.groups",  # one rule for all, until somebody has another one
    "operator.pause",  # what the strictest of the services asks for
    *(f"{group}.candidate.{name}" for group in ("faces", "albums") for name in _CANDIDATE),
    *(f"{group}.training_set.held_out_most" for group in ("faces", "albums")),
    *(  # of other sources
        f"albums.images.{name}"
        for name in ("path", "category", "pictures", "held_out", "planted", "licence")
    ),
    *(f"albums.images.{name}" for name in ("attribution", "stand_in", "seed", "min_side")),
    "albums.search",  # only with `images.source: search`
    *(  # of other sources
        f"faces.people.{name}"
        for name in ("path", "born_after", "born_before", "least_sitelinks", "packaged")
    ),
    "faces.people.packaged.seed",
    *(f"faces.image_urls.{name}" for name in ("most", "width", "folder")),
    *(  # the strictest limits that are published; who asks for more says so
        f"faces.photos.{name}"
        for name in (
            *("concurrency", "per_site", "delay", "site_megabits", "connect", "deadline"),
            *("max_megabytes", "tries"),
        )
    ),
    *(f"faces.face_boxes.{name}" for name in ("max_aspect", "margin")),
    *(f"faces.face_boxes.{name}.model" for name in ("detector", "second")),  # of `yunet`
    *(f"faces.face_boxes.{name}.model_sha256" for name in ("detector", "second")),
    "faces.samples.epochs",  # Figure 10 shows the last
    *(f"{group}.{name}" for group in ("lsun", "faces") for name in ("judge", "claims")),
    *(
        f"{group}.judge.{name}"
        for group in ("lsun", "faces")
        for name in ("updates", "batch", "learning_rate", "seed")
    ),
    *(
        f"{group}.claims.{name}"
        for group in ("lsun", "faces")
        for name in (
            "samples",
            "repeats",
            "seed",
            "forget",
            "beside",
            "expressions",
            "turn",
            "c",
            "epochs",
            "walks",
            "filters",
        )
    ),
}


def left_out(model: BaseModel, path: str = "") -> set[str]:
    """Dotted names of the fields that were not given."""
    missing = {f"{path}{name}" for name in set(type(model).model_fields) - model.model_fields_set}
    for name in model.model_fields_set:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            missing |= left_out(value, f"{path}{name}.")
    return missing


# --- Templates ------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_a_template_is_valid_and_says_its_own_name(profile: str) -> None:
    assert validate_params(yaml.safe_load(profile_text(profile)), profile).profile == profile


@pytest.mark.parametrize("profile", PROFILES)
def test_templates_leave_out_nothing_that_a_profile_decides(profile: str) -> None:
    params = validate_params(yaml.safe_load(profile_text(profile)), profile)
    absent = {"albums", "imagenet", "cifar10", "svhn", "report", "lsun.ablations"}
    assert left_out(params) <= LEFT_OUT | (absent if profile == "gallery" else set())


def test_the_checkout_is_a_workspace_of_the_sample() -> None:
    assert (CHECKOUT / "params.yaml").read_text(encoding="utf-8") == profile_text("sample")


def test_a_group_without_a_section_is_not_in_the_workspace() -> None:
    content = yaml.safe_load(profile_text("gallery"))
    params = validate_params(content, "gallery")
    assert params.group_names() == params.trained_groups() == ("mnist", "lsun", "faces")
    with pytest.raises(UserError, match="unknown group 'albums'; groups with a generator: mnist, "):
        params.require_trained("albums")
    content["cifar10"] = yaml.safe_load(profile_text("sample"))["cifar10"]
    with pytest.raises(UserError, match="cifar10: its features are of imagenet's D; a section im"):
        validate_params(content, "gallery")


def test_the_gallery_is_as_the_sample_and_trained_for_longer() -> None:
    sample, gallery = (
        validate_params(yaml.safe_load(profile_text(name)), name) for name in ("sample", "gallery")
    )
    for group in ("mnist", "lsun", "faces"):
        short, long = (getattr(params, group).candidate for params in (sample, gallery))
        assert long.preset == short.preset
        assert long.width == short.width
        assert long.epochs > short.epochs
    assert gallery.lsun.images.pictures > sample.lsun.images.pictures
    for group in ("lsun", "faces"):
        assert getattr(gallery, group).claims.samples >= 2000


def test_the_paper_profile_is_the_papers() -> None:
    params = validate_params(yaml.safe_load(profile_text("paper")), "paper")
    images = params.mnist.images
    assert (images.train, images.validation, images.test) == (50_000, 10_000, 10_000)
    for section in (params.mnist.candidate, params.mnist.fc_candidate):
        assert section.resolved() == preset(section.preset)
    assert params.mnist.nearest_neighbour_scores.references[-1] == 10_000_000


def test_the_sample_profile_needs_no_network() -> None:
    params = validate_params(yaml.safe_load(profile_text("sample")), "sample")
    assert params.mnist.images.source == "packaged"
    assert not params.faces.people.asks_the_web
    assert not params.faces.image_urls.asks_the_web
    assert params.albums.images.source == "rooms"


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_speaks_for_the_user(profile: str) -> None:
    """The operators of servers write to whom they see: there is no contact but one's own."""
    params = validate_params(yaml.safe_load(profile_text(profile)), profile)
    with pytest.raises(UserError, match=r"^params.yaml: operator: `contact` is missing"):
        params.operator.require_contact()


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"^unknown profile 'huge'; allowed: sample, small, paper, gallery$"
    ):
        profile_text("huge")


# --- Mistakes in the content ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(
            lambda c: c["mnist"]["images"].update(trian=3),
            ["mnist.images.trian: unknown key; allowed here: source, path, train, validation"],
            id="unknown key",
        ),
        pytest.param(
            lambda c: c.update(seeds=3),
            ["seeds: unknown key; allowed here: profile, seed, machine, operator, retraining"],
            id="unknown key at the top",
        ),
        pytest.param(
            lambda c: c["mnist"]["candidate"]["health"].update(divresity=3),
            ["mnist.candidate.health.divresity: unknown key; allowed here: diversity, label"],
            id="unknown key deep down",
        ),
        pytest.param(
            lambda c: c["mnist"]["images"].pop("train"),
            ["mnist.images.train: this key is missing"],
            id="missing key",
        ),
        pytest.param(lambda c: c.pop("profile"), ["profile: this key is missing"], id="no profile"),
        pytest.param(
            lambda c: c["mnist"]["candidate"].update(epochs="many"),
            ["mnist.candidate.epochs: ", "integer", "'many'"],
            id="wrong type",
        ),
        pytest.param(
            lambda c: c["mnist"].update(publish=[1]),
            ["mnist.publish: ", "[1]"],
            id="a list for a section",
        ),
        pytest.param(
            lambda c: c["mnist"]["images"].update(train=0),
            ["mnist.images.train: ", "greater than 0", "(found 0)"],
            id="out of range",
        ),
        pytest.param(
            lambda c: c["mnist"]["candidate"]["health"].update(diversity=1.5),
            ["mnist.candidate.health.diversity: ", "less than or equal to 1", "(found 1.5)"],
            id="a share above 1",
        ),
        pytest.param(
            lambda c: c["mnist"]["sample_panels"].update(columns=[7, 6]),
            ["mnist.sample_panels.columns"],
            id="a list too short",
        ),
        pytest.param(
            lambda c: c["mnist"]["nearest_neighbour_scores"].update(references=[]),
            ["mnist.nearest_neighbour_scores.references: "],
            id="an empty list",
        ),
        pytest.param(
            lambda c: c.update(profile="huge"),
            ["profile: ", "'sample', 'small', 'paper' or 'gallery'", "'huge'"],
            id="unknown profile",
        ),
        pytest.param(
            lambda c: c["machine"].update(device="tpu"),
            ["machine.device: ", "'auto', 'cpu' or 'cuda'", "'tpu'"],
            id="unknown device",
        ),
        pytest.param(
            lambda c: c["mnist"]["candidate"].update(preset="mnist29"),
            ["mnist.candidate: ", "unknown preset 'mnist29'; allowed: mnist28, mnist28_fc"],
            id="unknown preset",
        ),
        pytest.param(
            lambda c: c["mnist"]["images"].update(source="folder"),
            ["mnist.images: ", "`path` is needed with `source: folder`"],
            id="folder without path",
        ),
        pytest.param(
            lambda c: c["mnist"]["images"].update(path="digits"),
            ["mnist.images: ", "only there"],
            id="path without folder",
        ),
        pytest.param(lambda c: c.update({7: "x"}), ["7"], id="a key that is no name"),
        pytest.param(
            lambda c: c["mnist"]["images"].update(train="3500"),
            ["mnist.images.train: ", "integer", "'3500'"],
            id="a number in quotes",
        ),
        pytest.param(
            lambda c: c["mnist"]["images"].update(train=True),
            ["mnist.images.train: ", "integer", "True"],
            id="a yes for a number",
        ),
        pytest.param(
            lambda c: c["mnist"]["candidate"].update(width=float("inf")),
            ["mnist.candidate.width: ", "finite"],
            id="endless",
        ),
        pytest.param(lambda c: c.update(seed=-1), ["seed: ", "greater than or equal to 0"]),
        pytest.param(lambda c: c.update(seed=2**63), ["seed: ", "less than"], id="a huge seed"),
        pytest.param(
            lambda c: c["mnist"]["candidate"].update(epochs=0, decay_epochs=0),
            ["mnist.candidate: ", "both 0"],
            id="no training at all",
        ),
        pytest.param(
            lambda c: c["report"]["architecture"].update(presets=["lsun65"]),
            ["report.architecture.presets.0: unknown preset 'lsun65'; allowed: "],
            id="unknown preset in a list",
        ),
    ],
)
def test_a_mistake_is_one_line_with_key_and_what_is_allowed(edit: Edit, words: list[str]) -> None:
    line = refusal(edited(edit))
    for word in words:
        assert word in line


_KEY = "AKIAsecret"


@pytest.mark.parametrize(
    "exchange",
    [
        f"s3://{_KEY}:word@bucket/place",
        f"s3://bucket/place?key={_KEY}",
        {"url": "s3://bucket/place", "key": _KEY},
        [_KEY],
        f"https://{_KEY}@bucket.example.org/place",
        f"file:///{_KEY}",
        f"s3://bucket/../{_KEY}\n",
        "s3://bucket",
        3,
    ],
    ids=repr,
)
def test_an_exchange_names_no_keys_and_no_line_shows_one(exchange: Any) -> None:
    line = refusal(edited(lambda c: c["machine"].update(exchange=exchange, dvc="off")))
    assert "machine.exchange: allowed: folder, s3://BUCKET/PREFIX" in line
    assert _KEY not in line


def test_an_exchange_goes_without_dvc() -> None:
    s3 = {"exchange": "s3://our-bucket/rooms/1", "dvc": "off"}
    assert validate_params(edited(lambda c: c["machine"].update(s3)), "x").machine.dvc == "off"
    line = refusal(edited(lambda c: c["machine"].update(s3, dvc="commit")))
    assert "`exchange: s3` goes with `dvc: off` (found commit)" in line


@pytest.mark.parametrize("content", [["mnist"], "mnist", None, 3], ids=repr)
def test_a_file_that_is_no_mapping(content: Any) -> None:
    assert "a mapping of sections is needed" in refusal(content)


# --- Mistakes in the file -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"profile: [sample\nseed: 42\n", "not YAML"),
        (b"profile: !!python/object/apply:os.getcwd []\n", "not YAML"),
        (b"profile: \xff\xfe\n", "not UTF-8"),
        (b"a: 1\n---\nb: 2\n", "not YAML"),
        (b"", "empty; a mapping of sections is needed"),
        (b"- profile\n", "a mapping of sections is needed, found ['profile']"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_params(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: {words}")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml is missing; `dcgan init") as caught:
        load_params(tmp_path / "params.yaml")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match="not readable"):
        load_params(tmp_path / "params.yaml")


# --- Sections -------------------------------------------------------------------------------


def test_a_section_is_found_by_its_dotted_path() -> None:
    params = validate_params(edited(lambda c: c), "here")
    assert params.section("mnist.images") is params.mnist.images
    assert isinstance(params, Params)


def test_where_to_train_is_no_part_of_an_identity() -> None:
    one = validate_params(edited(lambda c: c["machine"].update(device="cpu")), "here")
    other = validate_params(edited(lambda c: c["machine"].update(device="cuda")), "here")
    for path in ("mnist.images", "mnist.candidate", "mnist.publish"):
        assert one.section(path).identity() == other.section(path).identity()
