"""`dcgan explore`: where the page is, a copy of it, and one line where there is none to show."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_generator import publish_generator

from dcgan_assets.assets.internals.explorer.making import PAGE_FILE
from dcgan_assets.cli import main
from dcgan_assets.engine.store import Artefact, Input, Meta, Store
from dcgan_assets.params.file import profile_text

PAGE = "<!doctype html><title>Explore lsun</title>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    return root


def publish_page(root: Path, of: str) -> Path:
    """Publish a page as made from the generator of a data version."""
    store, artefact = Store(root), Artefact("lsun/explorer", "results")
    with store.writing(artefact) as staging:
        (staging / PAGE_FILE).write_text(PAGE, encoding="utf-8")
        meta = Meta(
            key=artefact.key,
            shard=None,
            data_version=store.content_version(staging),
            inputs={"lsun/generator": Input(of, "", None, 0)},
            seed=None,
            params_seed=0,
            code_version="",
            fingerprint="",
            created="",
            duration_s=0.0,
            hardware="",
        )
        store.publish(staging, artefact, meta)
    return store.folder(artefact) / PAGE_FILE


def explore(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--root", str(root), "explore", *words])


def test_it_says_where_the_page_is(root: Path) -> None:
    page = publish_page(root, publish_generator(root, "lsun"))
    result = explore(root, "lsun", "--no-browser")
    assert (result.exit_code, result.output) == (0, f"{page.as_uri()}\n")


def test_it_writes_a_copy_and_replaces_a_page(root: Path, tmp_path: Path) -> None:
    publish_page(root, publish_generator(root, "lsun"))
    out = tmp_path / "rooms.html"
    for _ in range(2):
        assert explore(root, "lsun", "-o", str(out)).exit_code == 0
        assert out.read_text("utf-8") == PAGE


def test_a_group_without_generator_page_or_with_another_is_one_line(root: Path) -> None:
    assert "error: unknown group 'cifar10'" in explore(root, "cifar10").output
    assert "error: lsun: no generator is published" in explore(root, "lsun").output
    publish_generator(root, "svhn")
    assert "error: svhn has no page to explore: its part" in explore(root, "svhn").output
    version = publish_generator(root, "lsun")
    remedy = "run `dcgan materialize lsun/explorer`"
    missing = explore(root, "lsun")
    assert missing.output == f"error: lsun: no page to explore is made; {remedy}\n"
    publish_page(root, version)
    publish_generator(root, "lsun", seed=1)
    other = explore(root, "lsun")
    assert other.exit_code == 1
    assert other.output == (
        f"error: lsun/explorer is of another lsun/generator than is published; {remedy}\n"
    )


@pytest.mark.parametrize("name", ["notes.txt", "results/page.html", "mine.html", "none/page.html"])
def test_a_place_that_is_not_ours_is_refused(root: Path, name: str) -> None:
    publish_page(root, publish_generator(root, "lsun"))
    mine = root / "mine.html"
    mine.write_text("<html>my own</html>", encoding="utf-8")
    result = explore(root, "lsun", "-o", str(root / name))
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert mine.read_text("utf-8") == "<html>my own</html>"
