"""The history of published networks: what is kept, found, filled in, and what may go."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from checkout import CHECKOUT
from publish_victim import meta_of

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.cleaning import clean
from dcgan_assets.engine.publications import (
    KEPT,
    PUBLISHED,
    DamagedError,
    History,
    Publication,
)
from dcgan_assets.engine.store import Input, Meta
from dcgan_models.errors import UserError

PAIR = ("toy/generator", "toy/discriminator")


def networks(place: Path, content: str, keys: tuple[str, ...] = PAIR) -> list[Meta]:
    """Records of published networks, and below `place` their files: weights, and what all share."""
    metas = []
    for key in keys:
        files = {"weights": f"{key} {content}", "deep/latents": "the same for all"}
        for name, text in files.items():
            path = place / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        facts = {
            name: {"size": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            for name, text in files.items()
        }
        seen = {"toy/candidate": Input("d", "f", len(content), 42)}
        metas.append(meta_of(key, data_version=content, files=facts, inputs=seen))
    return metas


def kept(root: Path, content: str, keys: tuple[str, ...] = PAIR) -> Publication:
    """Keep networks whose files lie in a folder of their own."""
    place = root.with_name(f"{root.name}-{content}")
    metas = networks(place, content, keys)
    return History(root).keep(metas, {key: place / key for key in keys})


def objects(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "history/objects").rglob("*") if path.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


def test_a_publication_is_its_records_and_its_files_by_content(root: Path) -> None:
    first, second = kept(root, "one"), kept(root, "two")
    history = History(root)
    assert (first.number, second.number, first.seed) == (1, 2, 3)
    assert history.read("toy", 1) == first
    assert history.publications("toy") == ([first, second], [])
    assert history.find(second.records) == second
    # Four weights, and one file that all four networks have.
    assert objects(root) == sorted(first.digests | second.digests)
    assert len(objects(root)) == 5
    folder = root / "filled"
    folder.mkdir()
    history.fill(first.records[1], folder)
    assert (folder / "weights").read_text() == "toy/discriminator one"
    assert (folder / "deep/latents").read_text() == "the same for all"


def test_objects_are_links_where_the_disk_has_them_and_copies_on_another(
    root: Path, fast_disk: Path
) -> None:
    publication = kept(root, "here")
    source = root.with_name("workspace-here") / PAIR[0] / "weights"
    digest = publication.records[0].files["weights"]["sha256"]
    place = root / "history/objects" / digest[:2] / digest
    assert place.samefile(source)

    metas = networks(fast_disk, "elsewhere")
    History(root).keep(metas, {key: fast_disk / key for key in PAIR})
    digest = metas[0].files["weights"]["sha256"]
    place = root / "history/objects" / digest[:2] / digest
    assert place.read_text() == "toy/generator elsewhere"
    if source.stat().st_dev != fast_disk.stat().st_dev:
        assert place.stat().st_mode & 0o777 == 0o444


def test_of_a_link_the_file_is_kept_that_it_leads_to(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "linked"
    metas = networks(place, "one")
    weights = place / PAIR[0] / "weights"
    cache = weights.rename(tmp_path / "cache")
    weights.symlink_to(cache)
    History(root).keep(metas, {key: place / key for key in PAIR})
    cache.unlink()
    folder = tmp_path / "filled"
    folder.mkdir()
    History(root).fill(metas[0], folder, ["weights"])
    assert (folder / "weights").read_text() == "toy/generator one"


def test_what_is_damaged_is_not_kept_and_a_damaged_object_is_mended(root: Path) -> None:
    place = root.with_name("other")
    metas = networks(place, "one")
    (place / PAIR[1] / "weights").write_text("something else")
    with pytest.raises(DamagedError, match="weights: damaged, it is not what its record says"):
        History(root).keep(metas, {key: place / key for key in PAIR})
    assert History(root).numbers("toy") == []

    publication = kept(root, "two")
    digest = publication.records[0].files["weights"]["sha256"]
    path = root / "history/objects" / digest[:2] / digest
    path.unlink()
    path.write_text("damaged")
    kept(root, "two")
    assert path.read_text() == "toy/generator two"


def test_git_does_not_see_it(root: Path) -> None:
    kept(root, "one")
    assert (root / "history/.gitignore").read_text() == "*\n"


def test_the_folder_may_be_a_link_to_another_disk(root: Path, fast_disk: Path) -> None:
    (root / "history").symlink_to(fast_disk)
    kept(root, "one")
    assert (fast_disk / "publications/toy/1.json").is_file()
    History(root).remove(History(root).read("toy", 1))
    History(root).sweep()
    assert list(fast_disk.rglob("*.json")) == objects(root) == []


@pytest.mark.parametrize(
    ("decision", "contender"),
    [
        (PUBLISHED, "candidate"),
        (KEPT, "champion"),
        (f"rolled back to publication 3: {PUBLISHED}", "candidate"),
        (f"rolled back to publication 3: {KEPT}", "champion"),
    ],
)
def test_by_which_name_its_networks_were_scored(root: Path, decision: str, contender: str) -> None:
    place = root.with_name("scored")
    metas = [
        meta.model_copy(update={"metadata": shown.encode({"decision": decision, "loss": 0.5})})
        for meta in networks(place, "one")
    ]
    publication = History(root).keep(metas, {key: place / key for key in PAIR})
    again = History(root).read("toy", publication.number)
    assert (again.decision, again.contender) == (decision, contender)
    assert again.facts == {"decision": decision, "loss": 0.5}


def test_the_words_of_a_decision_are_those_that_publishing_writes() -> None:
    text = (CHECKOUT / "dcgan_assets/assets/publishing/champion.py").read_text("utf-8")
    assert "PUBLISHED if choice.publish else KEPT" in text


# --- What goes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "most", "goes"),
    [
        ("abc", 3, []),
        ("abc", 2, [1]),
        ("abcde", 2, [1, 2, 3]),
        # The champion was kept four times: the networks before it are still the last but one.
        ("abbbbb", 2, [3, 4]),
        ("abbbbb", 1, [1, 3, 4, 5]),
        ("aba", 2, [1]),
        ("a", 1, []),
    ],
)
def test_the_last_networks_stay_and_as_many_decisions(
    root: Path, versions: str, most: int, goes: list[int]
) -> None:
    for version in versions:
        kept(root, version)
    assert [one.number for one in History(root).outlived(most)] == goes


def test_networks_of_one_asset_do_not_push_out_those_of_another(root: Path) -> None:
    kept(root, "fc", ("toy/fc_generator",))
    for version in "abc":
        kept(root, version)
    assert [one.number for one in History(root).outlived(2)] == [2]


def test_files_go_when_nobody_names_them(root: Path) -> None:
    history = History(root)
    publications = [kept(root, version) for version in "abc"]
    left = root / "history/objects/ab"
    left.mkdir(exist_ok=True)
    half = f".ab{'0' * 62}.12345678.part"  # of a process that was killed
    for name in (f"ab{'0' * 62}", half, "note.txt"):
        (left / name).write_text("left")
    assert len(history.unnamed()) == 2
    assert len(history.unnamed(publications[:1])) == 4
    assert sum(history.unnamed().values()) == 8

    history.remove(publications[0])
    history.sweep()
    assert history.numbers("toy") == [2, 3]
    named = publications[1].digests | publications[2].digests
    assert objects(root) == sorted([*named, "note.txt"])
    assert kept(root, "d").number == 4


def test_the_next_number_is_never_that_of_one_that_stands(root: Path) -> None:
    numbers = [kept(root, version).number for version in "abcd"]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    History(root).remove(History(root).read("toy", 2))
    assert kept(root, "e").number == 5
    with pytest.raises(UserError, match="toy: no publication 2; there are: 1, 3, 4, 5"):
        History(root).read("toy", 2)


def test_clean_removes_it_and_nothing_else(root: Path) -> None:
    kept(root, "one")
    note = root / "history/objects/note.txt"
    note.write_text("mine")
    assert "left, not known as made here: history/objects/note.txt" in list(clean(root))
    assert [path for path in (root / "history").rglob("*") if path.is_file()] == [note]
    note.unlink()
    kept(root, "two")
    list(clean(root))
    assert not (root / "history").exists()


def test_clean_follows_the_folder_to_another_disk(root: Path, fast_disk: Path) -> None:
    (root / "history").symlink_to(fast_disk)
    kept(root, "one")
    assert "left, not known" not in "".join(clean(root))
    assert [path for path in fast_disk.rglob("*") if path.is_file()] == []


def test_what_stands_is_kept_once(root: Path) -> None:
    metas = networks(root.with_name("standing"), "one")
    places = {key: root.with_name("standing") / key for key in PAIR}
    first = History(root).keep(metas, places, once=True)
    assert History(root).keep(metas, places, once=True) == first
    assert History(root).numbers("toy") == [1]


def test_its_own_files_are_known_by_their_names(root: Path) -> None:
    kept(root, "one")
    for name in ("note.txt", "publications/toy/note.json", "objects/ab", "publications/1.json"):
        (root / "history" / name).write_text("mine")
    names = History(root).files()
    assert names[0] == "publications/toy/1.json"
    assert names[-1] == ".gitignore"
    assert len(names) == 2 + 3
    assert not [name for name in names if "note" in name or name == "publications/1.json"]
    assert json.loads((root / "history" / names[0]).read_text())["format"] == 1
