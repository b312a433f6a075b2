"""`image_urls`: where pictures of each person or album lie, under what terms, and who made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_assets.assets.pictures.people import (
    read_removals,
    reasons_table,
    removals_version,
    search_of,
)
from dcgan_assets.assets.pictures.rejections import Intake
from dcgan_assets.assets.pictures.shards import write_origin
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import WEB, Check, Outcome, Reading, Step, StepMaker, Verdict, named
from dcgan_assets.params.search import ImageUrls
from dcgan_assets.sources.reading.listing import listing_version

if TYPE_CHECKING:
    from dcgan_assets.sources.web.search.search import SearchReport

ADDRESS_CHECKS = (
    Check("counts_add_up", "Every picture found is a row, kept or rejected.", required=True),
    Check("something_found", "There are pictures to fetch.", required=True),
    Check("every_search_ended", "No search of anybody was broken off."),
)


def folder_version(section: ImageUrls, root: Path) -> str:
    """The listing of the user's own pictures; what else is searched has no version."""
    return listing_version(root / section.folder.path) if section.folder else "none"


def addresses_version(reading: Reading) -> str:
    """The removal list and the listing of the user's own pictures."""
    listed = folder_version(reading.around.image_urls, reading.root)
    return f"{removals_version(reading)} {listed}"


def addressed_files(reading: Reading) -> tuple[str, ...]:
    """The removal list and the folder of the user's own pictures, where it is searched."""
    folder = reading.around.image_urls.folder
    return named(reading.around.removals, folder.path if folder is not None else None)


def make_image_urls(work: Work) -> Outcome:
    """Look for pictures of everybody whom `people` has kept."""
    from dcgan_assets.sources.web.search.search import gather_addresses, subjects_of

    section: ImageUrls = work.section
    (people,) = work.step.inputs
    if section.asks_the_web:
        work.params.operator.require_contact()
    # Answers of the web are kept; what a folder answered is of that folder alone.
    local = not section.asks_the_web and [
        work.inputs[people].data_version,
        folder_version(section, work.root),
    ]
    report = gather_addresses(
        subjects_of(work.input(people)),
        section.searching(work.root, work.input(people), work.params.operator),
        read_removals(search_of(work), work.root),
        work.kept_dir({"local": local}),
        work.out(),
        work.log,
    )
    # Those of the user or of packages are not the paper's.
    write_origin(work.out(), stand_in=not section.asks_the_web)
    return Outcome(
        metadata=_facts(report),
        verdicts=_judge(work.out(), report),
        summary=Intake(report.kept, report.reasons).words,
    )


def image_urls_step(step: StepMaker, names: str, whose: str) -> Step:
    """A group's `image_urls`, of the asset `names`; `whose` for the description."""
    return step(
        "image_urls",
        inputs=(names,),
        kind="data",
        compute=make_image_urls,
        source_version=addresses_version,
        checks=ADDRESS_CHECKS,
        pool=WEB,
        files=addressed_files,
        kinds=frozenset({"parquet", "table"}),
        description=(
            f"Where pictures {whose} lie, under what licence, and who made them: a row for "
            "each one found, kept or rejected."
        ),
    )


def _facts(report: SearchReport) -> dict[str, Any]:
    from dcgan_assets.sources.web.search.address_table import ADDRESS_SCHEMA

    facts: dict[str, Any] = {
        "dagster/row_count": report.kept + report.rejected,
        "dagster/column_schema": shown.table_schema(ADDRESS_SCHEMA),
        "searched_for": report.people,
        "kept": report.kept,
        "rejected": report.rejected,
    }
    if report.licences:
        facts["licences"] = licence_table(report.licences)
    if report.reasons:
        facts["reasons"] = reasons_table(report.reasons, "pictures")
    if report.failed:
        facts["broken_off"] = reasons_table(report.failed, "searches")
    return facts


def licence_table(licences: dict[str, int]) -> Any:
    """Kept pictures by licence, the most frequent first."""
    ordered = sorted(licences.items(), key=lambda item: (-item[1], item[0]))
    return shown.table([{"licence": name, "pictures": count} for name, count in ordered])


def _judge(folder: Path, report: SearchReport) -> tuple[Verdict, ...]:
    """Judge `ADDRESS_CHECKS`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from dcgan_assets.sources.web.search.search import ADDRESSES_FILE, SEARCHES_FILE

    rows = pq.read_metadata(folder / ADDRESSES_FILE).num_rows
    found = pc.sum(pq.read_table(folder / SEARCHES_FILE, columns=["found"])["found"]).as_py() or 0
    counts = {"found": found, "rows": rows, "kept": report.kept, "rejected": report.rejected}
    ended = not sum(report.failed.values())
    return (
        Verdict("counts_add_up", found == rows == report.kept + report.rejected, counts),
        Verdict("something_found", report.kept > 0, {"kept": report.kept}),
        Verdict("every_search_ended", ended, {"broken off": sum(report.failed.values())}),
    )
