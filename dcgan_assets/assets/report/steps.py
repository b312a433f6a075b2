"""The steps of the report: they read whatever results there are, and miss none."""

from __future__ import annotations

from collections.abc import Sequence

from dcgan_assets.assets.report import making
from dcgan_assets.engine.step import Step

# Beside results, what says on which pictures and by which networks they were made.
_NETWORKS = ("generator", "fc_generator")
_PICTURES = ("training_set",)
_UNSPLIT = ("mnist/images",)  # a training set that is no asset of its own
PAGE = "report/paper"


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
    return (
        Step(
            outputs=("report/tables",),
            if_there=results,
            kind="results",
            section="report.paper",
            compute=making.make_tables,
            source_version=making.texts_version,
            kinds=frozenset({"table", "parquet"}),
            description=(
                "Every row of every result as one table: the paper's number (Tables 1 to 3 and "
                "what sections 3 to 8 measure) beside ours, with n, interval, stand-in or not, "
                "and where it comes from."
            ),
        ),
        Step(
            outputs=(PAGE,),
            if_there=told,
            kind="results",
            section="report.paper",
            compute=making.make_paper,
            source_version=making.texts_version,
            checks=making.PAPER_CHECKS,
            shows_pictures=True,
            kinds=frozenset({"html", "markdown"}),
            description=(
                "One page with every figure and table of the paper, Figures 1 to 11 and Tables 1 "
                "to 3, in its order: the paper's numbers, ours, the data, what differs and why, "
                "and how each was made. What is not there is shown as missing."
            ),
        ),
    )


def _told(step: Step) -> tuple[str, ...]:
    """The outputs of a step that the report tells of."""
    if step.kind == "results":
        return step.outputs
    names = (*_NETWORKS, *_PICTURES)
    return tuple(key for key in step.outputs if key.split("/")[1] in names or key in _UNSPLIT)
