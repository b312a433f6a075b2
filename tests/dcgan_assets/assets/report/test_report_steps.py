"""The report's steps: what they read, what they publish, and the table of all rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from page_elements import make_catalogue
from small_results import MADE_AT, ROWS, publish, publish_results

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order, standing
from dcgan_assets.engine.making import make
from dcgan_assets.engine.planning import in_order, with_ancestors
from dcgan_assets.engine.store import Meta
from dcgan_assets.params.file import profile_text, validate_params
from dcgan_models.errors import UserError


class Listener:
    """What making uses of Dagster's context."""

    run = SimpleNamespace(run_id="a run")

    def log_event(self, event: Any) -> None:
        """Forget it."""


def made(catalogue: Catalogue, key: str) -> Meta:
    order = place_order(catalogue, catalogue.by_key[key])
    return make(catalogue, order, cast(Any, Listener()), force=False)[0][0]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, dict[str, Meta]]:
    """A workspace with both, and their records."""
    catalogue = make_catalogue(tmp_path_factory.mktemp("written"))
    publish_results(catalogue.workspace.root)
    return catalogue, {key: made(catalogue, key) for key in ("report/tables", "report/paper")}


def test_it_comes_last_and_brings_nothing_along(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    ordered = [step.key for step in in_order(catalogue, catalogue.steps)]
    assert set(ordered[-2:]) == {"report/tables", "report/paper"}
    paper = catalogue.by_key["report/paper"]
    assert with_ancestors(catalogue, [paper]) == [paper]


def test_it_reads_every_kept_result_and_no_candidate(tmp_path: Path) -> None:
    content = yaml.safe_load(profile_text("sample"))
    content["groups"] = {"cats": {**content["lsun"]}}
    for name in ("dedup_autoencoder", "manifest", "dedup_report", "nearest_training_images"):
        del content["groups"]["cats"][name]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    from dcgan_assets.assets.catalogue import open_catalogue
    from dcgan_assets.engine.workspace import Workspace

    catalogue = open_catalogue(Workspace(tmp_path))
    paper, tables = (catalogue.by_key[f"report/{name}"] for name in ("paper", "tables"))
    kept = {
        key
        for step in catalogue.steps
        for key in step.outputs
        if step.kind == "results" and not (step.transient or step.optional)
    }
    assert set(tables.if_there) == kept - {"report/tables", "report/paper"}
    assert set(tables.if_there) < set(paper.if_there)
    assert {"cats/samples", "cats/generator", "mnist/images", "report/architecture"} < set(
        paper.if_there
    )
    transient = {key for step in catalogue.steps if step.transient for key in step.outputs}
    assert not transient & {*paper.if_there, *tables.if_there}


def test_the_table_has_every_row_with_where_it_comes_from(
    written: tuple[Catalogue, dict[str, Meta]],
) -> None:
    catalogue, _ = written
    folder = catalogue.store.folder(catalogue.artefact("report/tables"))
    table = pq.read_table(folder / "rows.parquet")
    rows = table.to_pylist()
    assert [(row["asset"], row["name"]) for row in rows] == [
        (key, row.name)
        for key in catalogue.by_key["report/tables"].if_there
        for row in ROWS.get(key, ())
    ]
    assert sum(map(len, ROWS.values())) == len(rows)
    (found,) = (row for row in rows if row["name"] == "trained D, all labels")
    expected = {"value": 80.25, "paper": 82.8, "n": 1000, "low": 77.62, "item": "Table 1"}
    assert expected.items() <= found.items()
    provenance = {"stand_in": True, "run": "12345678-run", "created": MADE_AT, "group": "cifar10"}
    assert provenance.items() <= found.items()
    assert all(field.metadata[b"description"] for field in table.schema)
    assert pyarrow.csv.read_csv(
        folder / "rows.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    ).num_rows == len(rows)


def test_a_table_of_nothing_is_a_table(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    made(catalogue, "report/tables")
    folder = catalogue.store.folder(catalogue.artefact("report/tables"))
    assert pq.read_table(folder / "rows.parquet").num_rows == 0


def test_the_page_keeps_to_its_size_and_says_what_is_missing(
    written: tuple[Catalogue, dict[str, Meta]],
) -> None:
    catalogue, metas = written
    checks = {check["check"]: check for check in metas["report/paper"].checks}
    assert not checks["complete"]["passed"]
    assert "Figure 8" in checks["complete"]["facts"]["lacking"]
    assert "Figure 9" not in checks["complete"]["facts"]["lacking"]
    assert checks["small"]["passed"]
    folder = catalogue.store.folder(catalogue.artefact("report/paper"))
    assert (folder / "report.html").stat().st_size < 2_000_000
    told = json.loads(metas["report/paper"].metadata["page"])
    assert told["text"] == "results/report/paper/report.html"


def test_markdown_finds_its_pictures(written: tuple[Catalogue, dict[str, Meta]]) -> None:
    catalogue, _ = written
    folder = catalogue.store.folder(catalogue.artefact("report/paper"))
    text = (folder / "report.md").read_text(encoding="utf-8")
    named = {part.split(")")[0] for part in text.split("](../../")[1:]}
    pictures = {name for name in named if name.endswith(".png")}
    assert len(pictures) == 6
    results = catalogue.workspace.root / "results"
    assert all((results / name).is_file() for name in pictures)
    assert {path.name for path in folder.iterdir()} == {"_meta.json", "report.html", "report.md"}


def test_the_same_results_make_the_same_report(
    written: tuple[Catalogue, dict[str, Meta]], tmp_path: Path
) -> None:
    catalogue, before = written
    root = tmp_path / "copy"
    shutil.copytree(catalogue.workspace.root, root)
    again = make_catalogue(root)
    for key, meta in before.items():
        assert made(again, key).data_version == meta.data_version


def test_a_result_that_changes_makes_it_stale(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path)
    paper = catalogue.by_key["report/paper"]

    def stands() -> bool:
        return standing(catalogue, place_order(catalogue, paper)) is not None

    made(catalogue, "report/paper")
    assert stands()
    publish(tmp_path, "lsun/latent_walk", "results", rows=ROWS["cifar10/svm_scores"])
    assert not stands()
    made(catalogue, "report/paper")
    # Made otherwise, with the same outcome: the page tells how.
    publish(
        tmp_path, "lsun/latent_walk", "results", rows=ROWS["cifar10/svm_scores"], fingerprint="0"
    )
    assert not stands()


def test_a_page_of_less_than_its_own_text_is_refused() -> None:
    content = yaml.safe_load(profile_text("sample"))
    content["report"]["paper"]["megabytes"] = 1.0
    with pytest.raises(UserError, match=r"report\.paper\.megabytes: .*greater than or equal to 2"):
        validate_params(content, "params.yaml")
