"""`report/tables` and `report/paper`: what the report is made of, written into their folders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import dagster as dg

from dcgan_assets.assets.report import deviations
from dcgan_assets.assets.report.compose import (
    MADE,
    MISSING,
    Report,
    compose,
    picture_paths,
)
from dcgan_assets.assets.report.encoding import encode_all
from dcgan_assets.assets.report.gather import Made, gather
from dcgan_assets.assets.report.items import PAPER_FILE, TEMPLATES, load_paper, own_text
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, StepMaker, Verdict
from dcgan_assets.params.report import PaperReport

PAGE = "report/paper"
PAGE_FILE = "report.html"
MARKDOWN_FILE = "report.md"
TABLE_FILE = "rows.parquet"
CSV_FILE = "rows.csv"

PAPER_CHECKS = (
    Check("complete", "Every figure and table of the paper is there."),
    Check("small", "The page is no larger than params.yaml allows."),
)
# What of the page is not pictures; measured at 0.45 MB with all groups of the sample profile.
_TEXT_BYTES = 1_200_000


def texts_version(_: Reading) -> str:
    """The version of what the report says beside results: templates, the paper, deviations."""
    texts = map(own_text, (*TEMPLATES, PAPER_FILE, deviations.FILE))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


# --- The table of all rows --------------------------------------------------------------------


def make_tables(work: Work) -> Outcome:
    """Every row of every result as one table, with where it comes from: Parquet and CSV."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    made = gather(work.found())
    items = _items_by_asset()
    rows = [row for one in made.values() for row in _rows(one, items.get(one.key, ""))]
    schema = pa.schema(
        [
            pa.field(name, kind, metadata={"description": about})
            for name, kind, about in _columns(pa)
        ]
    )
    table = pa.Table.from_pylist(rows, schema)
    pyarrow.parquet.write_table(table, work.out() / TABLE_FILE)
    pyarrow.csv.write_csv(table, work.out() / CSV_FILE)
    return Outcome(
        metadata={
            "rows": len(rows),
            "results": len({row["asset"] for row in rows}),
            "columns": shown.table_schema(schema),
        }
    )


def tables_step(step: StepMaker, results: tuple[str, ...]) -> Step:
    """`report/tables`, of those results that are there."""
    return step(
        "tables",
        if_there=results,
        section="paper",
        kind="results",
        compute=make_tables,
        source_version=texts_version,
        kinds=frozenset({"table", "parquet"}),
        description=(
            "Every row of every result as one table: the paper's number (Tables 1 to 3 and "
            "what sections 3 to 8 measure) beside ours, with n, interval, stand-in or not, "
            "and where it comes from."
        ),
    )


def _items_by_asset() -> dict[str, str]:
    """Names of the paper's items that show an asset."""
    found: dict[str, list[str]] = {}
    for item in load_paper().items:
        for one in item.shows:
            found.setdefault(one.asset, []).append(item.name)
    return {asset: "; ".join(names) for asset, names in found.items()}


def _rows(made: Made, item: str) -> list[dict[str, Any]]:
    if made.result is None:
        return []
    group, _ = made.key.split("/")
    about = {
        "group": group,
        "asset": made.key,
        "item": item,
        "paper_ref": made.result.paper_ref,
        "stand_in": made.result.stand_in,
        "profile": made.result.profile,
        "notes": made.result.notes,
        **{
            name: getattr(made.meta, name)
            for name in (
                "data_version",
                "code_version",
                "created",
                "duration_s",
                "hardware",
                "run",
            )
        },
    }
    return [{**row.model_dump(), "better": row.better, **about} for row in made.result.rows]


def _columns(pa: Any) -> list[tuple[str, Any, str]]:
    """Names, types and descriptions of the table's columns."""
    text, real, whole = pa.string(), pa.float64(), pa.int64()
    return [
        ("group", text, "first half of the asset's key"),
        ("asset", text, "the asset's key"),
        ("item", text, "figures and tables of the paper that show it; empty where none does"),
        ("paper_ref", text, "what it reproduces, in the result's own words"),
        ("name", text, "what was measured, on what"),
        ("measure", text, "the word for it in the vocabulary of measures"),
        ("better", text, "lower or higher; empty where neither is better"),
        ("split", text, "pictures that it was measured on"),
        ("protocol", text, "whose way of measuring it is"),
        ("trials", whole, "the best of so many; null where it was not chosen"),
        ("value", real, "ours; null where only the paper has one"),
        ("unit", text, "of value, low, high and paper"),
        ("n", whole, "observations behind the value"),
        ("low", real, "lower bound"),
        ("high", real, "upper bound"),
        ("interval", text, "what the bounds are"),
        ("paper", real, "the paper's value, where it gives one"),
        ("source", text, "where in the paper, or how ours was obtained"),
        ("stand_in", pa.bool_(), "whether the data are not the paper's"),
        ("profile", text, "the profile of params.yaml"),
        ("notes", text, "of the whole result"),
        ("data_version", text, "hash of the asset's content"),
        ("code_version", text, "hash of its code and section"),
        ("created", text, "when it was made, UTC"),
        ("duration_s", real, "how long that took, in seconds"),
        ("hardware", text, "on which machine"),
        ("run", text, "Dagster's run id"),
    ]


# --- The page ---------------------------------------------------------------------------------


def make_paper(work: Work) -> Outcome:
    """The page and the Markdown, with what is missing shown as missing."""
    from dcgan_assets.assets.report.render import page_html, page_markdown

    section: PaperReport = work.section
    made = gather(work.found())
    paths = picture_paths(made)
    budget = int(section.megabytes * 1e6)
    with work.progress(len(paths), "pictures") as bar:
        encoded = encode_all(paths, budget - _TEXT_BYTES, bar.update)
    report = compose(made, work.step.if_there, encoded, work.params.profile)
    page = work.out() / PAGE_FILE
    page.write_text(page_html(report), encoding="utf-8")
    (work.out() / MARKDOWN_FILE).write_text(page_markdown(report), encoding="utf-8")
    size = page.stat().st_size
    missing = [entry.item.name for entry in report.entries if entry.missing]
    return Outcome(
        metadata={
            "page": dg.MetadataValue.text(f"results/{work.step.key}/{PAGE_FILE}"),
            "verdicts": shown.table(
                [
                    {"claim": one.claim.words, "verdict": one.verdict, "paper": one.claim.paper}
                    for one in report.verdicts
                ]
            ),
            "items": _overview(report),
            "made": report.count(MADE),
            "missing": report.count(MISSING),
            "page_bytes": size,
        },
        verdicts=(
            Verdict("complete", not missing, {"lacking": ", ".join(missing) or "nothing"}),
            Verdict("small", size <= budget, {"bytes": size, "allowed": budget}),
        ),
    )


def paper_step(step: StepMaker, told: tuple[str, ...]) -> Step:
    """`report/paper`, of those assets that are there."""
    return step(
        "paper",
        if_there=told,
        kind="results",
        compute=make_paper,
        source_version=texts_version,
        checks=PAPER_CHECKS,
        shows_pictures=True,
        kinds=frozenset({"html", "markdown"}),
        description=(
            "One page with every figure and table of the paper, Figures 1 to 11 and Tables 1 "
            "to 3, in its order: the paper's numbers, ours, the data, what differs and why, "
            "and how each was made. What is not there is shown as missing."
        ),
    )


def _overview(report: Report) -> dg.TableMetadataValue:
    """A row an item, for the UI."""
    return shown.table(
        [
            {
                "item": entry.item.name,
                "title": entry.item.title,
                "paper": entry.headline.paper if entry.headline else None,
                "ours": entry.headline.value if entry.headline else None,
                "stand-in": entry.stand_in,
                "state": entry.state,
            }
            for entry in report.entries
        ]
    )


# --- The two steps --------------------------------------------------------------------------


# Beside results, what says on which pictures and by which networks they were made.
_NETWORKS = ("generator", "fc_generator")
_PICTURES = ("training_set",)
_UNSPLIT = ("mnist/images",)  # a training set that is no asset of its own


def report_steps(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The report on all other steps of a workspace.

    Candidates and how they were measured are left out, and what is only made when it is asked
    for: DVC does not keep them, and a clone would find its report out of date. What decided on a
    published network is in that network's record.

    Args:
        steps: All others.
    """
    kept = [step for step in steps if step.has_stage]
    told = tuple(key for step in kept for key in _told(step))
    results = tuple(key for step in kept if step.kind == "results" for key in step.outputs)
    step = StepMaker("report", "report")
    return tables_step(step, results), paper_step(step, told)


def _told(step: Step) -> tuple[str, ...]:
    """The outputs of a step that the report tells of."""
    if step.kind == "results":
        return step.outputs
    names = (*_NETWORKS, *_PICTURES)
    return tuple(key for key in step.outputs if key.split("/")[1] in names or key in _UNSPLIT)
