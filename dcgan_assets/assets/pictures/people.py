"""`people`: whose pictures are looked for (section 4.2), or which albums' covers.

What is asked of the web is kept below `runs/`, whatever becomes of this code: a run that is killed
goes on there, and one with another removal list asks for nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_assets.assets.pictures.rejections import Intake
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import WEB, Check, Outcome, Reading, Step, StepMaker, Verdict, named
from dcgan_assets.params.search import People
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_assets.sources.reading.manifest import KEPT
from dcgan_models.files import remove_built

if TYPE_CHECKING:
    from dcgan_assets.params.search import Search
    from dcgan_assets.sources.web.removals import RemovalList
    from dcgan_assets.sources.web.search.people import PeopleReport

PEOPLE_CHECKS = (
    Check("counts_add_up", "Everybody found is a row, kept or rejected.", required=True),
    Check("nobody_cut_off", "Every slice brought as many people as its endpoint had counted."),
)
_SHOWN = 20


def search_of(work: Work) -> Search:
    """What the step is part of: names, addresses, photographs and the removal list."""
    search: Search = work.around
    return search


def read_removals(search: Search, root: Path) -> RemovalList:
    """The group's removal list."""
    from dcgan_assets.sources.web.removals import RemovalList

    return RemovalList.read(root / search.removals)


def people_version(reading: Reading) -> str:
    """The removal list, and the listing of the user's own names."""
    section: People = reading.section
    listed = listing_version(reading.root / section.path) if section.path else section.source
    return f"{removals_version(reading)} {listed}"


def removals_version(reading: Reading) -> str:
    """The version of the removal list of the search that a step is part of."""
    return read_removals(reading.around, reading.root).version


def _files(reading: Reading) -> tuple[str, ...]:
    return named(reading.around.removals, reading.section.path)


def make_people(work: Work) -> Outcome:
    """Find people, or read who they are; with `source: packaged`, make their photographs too."""
    from dcgan_assets.sources.web.search.people import gather_people

    section: People = work.section
    if section.asks_the_web:
        work.params.operator.require_contact()
    removals = read_removals(search_of(work), work.root)
    if section.packaged is not None:
        origin: Any = _make_photographs(work)
    else:
        origin = section.origin(work.root, work.params.operator)
    report = gather_people(origin, section.count, work.kept_dir({}), work.out(), removals, work.log)
    if section.packaged is not None:
        _forget_rejected(work.out())
    return Outcome(
        metadata=_facts(work.out(), report),
        verdicts=_judge(work.out(), report),
        summary=Intake(report.kept, report.reasons).words,
    )


def people_step(step: StepMaker, names: str, whose: str) -> Step:
    """The asset `names` of a group that is searched for; `whose` for the description."""
    return step(
        names,
        section="people",
        kind="data",
        compute=make_people,
        source_version=people_version,
        checks=PEOPLE_CHECKS,
        pool=WEB,
        files=_files,
        kinds=frozenset({"parquet", "table"}),
        description=(
            f"Names {whose}, ranked by how many wikis write about them; who asked not to be "
            "there is left out."
        ),
    )


def _make_photographs(work: Work) -> Path:
    """Draw the photographs beside the table; their sub-folders are the names."""
    from dcgan_assets.sources.drawn.people_files import PEOPLE_FOLDER
    from dcgan_assets.sources.drawn.scenes import write_photographs

    write_photographs(work.out(), **work.section.packaged.model_dump())
    return work.out() / PEOPLE_FOLDER


def _forget_rejected(folder: Path) -> None:
    """Delete the photographs of people who are not kept: somebody may have asked for it."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from dcgan_assets.sources.drawn.people_files import HEADS_FILE, PEOPLE_FOLDER, PICTURES_FILE
    from dcgan_assets.sources.web.search.people import PEOPLE_FILE

    people = pq.read_table(folder / PEOPLE_FILE, columns=["name", "status"])
    kept = people.filter(pc.equal(people["status"], KEPT))["name"].combine_chunks()
    names = set(kept.to_pylist())
    for one in (folder / PEOPLE_FOLDER).iterdir():
        if one.name not in names:  # removed people have no name in the table
            remove_built(one)
    pictures = pq.read_table(folder / PICTURES_FILE)
    left = pictures.filter(pc.is_in(pictures["person_name"], kept))
    pq.write_table(left, folder / PICTURES_FILE)
    heads = pq.read_table(folder / HEADS_FILE)
    files = left["file"].combine_chunks()
    pq.write_table(heads.filter(pc.is_in(heads["file"], files)), folder / HEADS_FILE)


def _facts(folder: Path, report: PeopleReport) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from dcgan_assets.sources.web.search.people import PEOPLE_FILE, PEOPLE_SCHEMA

    columns = ["rank", "name", "birth_date", "sitelinks", "source"]
    first = pq.read_table(folder / PEOPLE_FILE, columns=columns, filters=[("rank", "<", _SHOWN)])
    facts: dict[str, Any] = {
        "dagster/row_count": report.kept + report.rejected,
        "dagster/column_schema": shown.table_schema(PEOPLE_SCHEMA),
        "kept": report.kept,
        "rejected": report.rejected,
        "distinct_names": report.names,
        "first": shown.table(
            [{key: _plain(value) for key, value in row.items()} for row in first.to_pylist()]
        ),
    }
    if report.reasons:
        facts["reasons"] = reasons_table(report.reasons, "people")
    return facts


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)


def reasons_table(reasons: dict[str, int], unit: str) -> Any:
    """Why rows were rejected, the most frequent reason first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return shown.table([{"rejected because": reason, unit: count} for reason, count in ordered])


def _judge(folder: Path, report: PeopleReport) -> tuple[Verdict, ...]:
    """Judge `PEOPLE_CHECKS`."""
    import pyarrow.parquet as pq

    from dcgan_assets.sources.web.search.people import PEOPLE_FILE

    rows = pq.read_metadata(folder / PEOPLE_FILE).num_rows
    counts = {"rows": rows, "kept": report.kept, "rejected": report.rejected}
    return (
        Verdict("counts_add_up", rows == report.kept + report.rejected, counts),
        Verdict("nobody_cut_off", not report.short, {"slices that came short": report.short}),
    )
