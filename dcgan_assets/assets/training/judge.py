"""`judge`: two networks that read what is to be seen on a group's pictures, where that is known.

One picks exemplars and boxes, the other reports: they learn from disjoint halves of the training
pictures, and both are held to the held-out ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.shards import read_manifests
from dcgan_assets.assets.shares import share_row
from dcgan_assets.assets.training.training_set import open_training_set
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.training import JudgeParams
from dcgan_assets.sources.reading.items import HELD_OUT, key_hash
from dcgan_assets.sources.reading.manifest import MANIFEST_FILE
from dcgan_models.errors import UserError

if TYPE_CHECKING:
    from dcgan_models.data import PixelStore
    from dcgan_models.metrics.judge import Agreement, Judge

JUDGE_CHECKS = (
    Check(
        "reads_factors",
        "Both judges are right of 98 % of held-out pictures, within 5 degrees, and by boxes that "
        "share 0.7 with the true ones.",
    ),
)
PICKS, REPORTS = "picks", "reports"
_RIGHT, _DEGREES, _OVERLAP = 0.98, 5.0, 0.7
_COLUMN = "factor."


def make_judge(work: Work) -> Outcome:
    """Train both judges, and hold them to pictures that neither has seen."""
    from dcgan_models.metrics.judge import agree, save_judge

    section: JudgeParams = work.section
    store, held_out = open_training_set(work), open_training_set(work, HELD_OUT)
    known = read_factors(work, section.factors)
    tested = known.rows(held_out.keys)
    test, truth = held_out.gather(tested), known.values([held_out.keys[row] for row in tested])
    taught = known.rows(store.keys)
    halves = np.array([key_hash(f"judge/{store.keys[row]}") & 1 for row in taught])
    found = {}
    with work.progress(2 * section.updates, "updates") as bar:
        for half, name in enumerate((PICKS, REPORTS)):
            rows = taught[halves == half]
            judge = _train(section, half, store, rows, known, bar)
            save_judge(judge, work.out() / name)
            found[name] = agree(judge, test, truth)
    told = [_row(agreement) for agreement in found[REPORTS]]
    missed = {who: lacking(agreements) for who, agreements in found.items()}
    return Outcome(
        metadata={
            "held_out": len(test),
            "agreement": shown.table(
                [row.model_dump(include={"name", "value", "n"}) for row in told]
            ),
        },
        verdicts=(
            Verdict(
                "reads_factors",
                not any(missed.values()),
                {who: ", ".join(names) or "all read" for who, names in missed.items()},
            ),
        ),
    )


def judge_step(step: StepMaker, *, manifest: bool) -> Step:
    """A group's `judge`; `manifest` where one holds the factors, and not its pictures' own."""
    return step(
        "judge",
        inputs=(step.pictures, *(("manifest",) if manifest else ()), "training_set"),
        kind="models",
        compute=make_judge,
        checks=JUDGE_CHECKS,
        pool=GPU,
        kept=True,
        kinds=frozenset({"pytorch"}),
        description=(
            "Two small networks that read what is to be seen on the group's pictures, of which it "
            "is known, and so on those that its generator draws: section 6 asks the reader to "
            "look. One picks, the other reports. Trained once and kept, as the extractor is."
        ),
    )


class Known:
    """What is known to be seen on pictures, by their keys."""

    def __init__(self, columns: dict[str, dict[str, Any]]) -> None:
        self._columns = columns

    def rows(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Of these pictures the numbers of those of which all is known.

        Of a crop in which the detector saw a face that nobody drew, nothing is.
        """
        plain = [by_key for name, by_key in self._columns.items() if not name.endswith("_box")]
        known = [all(by_key[key] is not None for by_key in plain) for key in keys]
        return np.flatnonzero(known)

    def values(self, keys: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Of pictures of which all is known: bool (n,), float (n,); boxes (n, 4), NaN for none."""
        found = {}
        for name, by_key in self._columns.items():
            own = [by_key[key] for key in keys]
            if name.endswith("_box"):
                own = [(np.nan,) * 4 if box is None else box for box in own]
            found[name] = np.array(own)
        return found


def read_factors(work: Work, names: Sequence[str]) -> Known:
    """What a group's manifest says is to be seen, by factor and the pictures' keys.

    Raises:
        UserError: It has no such column: its pictures were not drawn.
    """
    import pyarrow.parquet as pq

    manifest = work.sibling("manifest")
    if manifest in work.step.inputs:
        table = pq.read_table(work.input(manifest) / MANIFEST_FILE)
    else:
        table = read_manifests(work)
    there = [name for name in table.column_names if name.startswith(_COLUMN)]
    for name in names:
        if f"{_COLUMN}{name}" not in there:
            known = ", ".join(one.removeprefix(_COLUMN) for one in there) or "none"
            raise UserError(
                f"{work.step.key}: the manifest does not know {name!r:.40} of its pictures; it "
                f"knows: {known}"
            )
    keys = table["key"].to_pylist()
    columns = {name: table[f"{_COLUMN}{name}"].to_pylist() for name in names}
    return Known({name: dict(zip(keys, own, strict=True)) for name, own in columns.items()})


def _train(
    section: JudgeParams,
    half: int,
    store: PixelStore,
    rows: npt.NDArray[np.int64],
    known: Known,
    bar: Any,
) -> Judge:
    from dcgan_models.metrics.judge import JudgeConfig, train_judge

    config = JudgeConfig(
        section.updates, section.batch, section.learning_rate, seed=2 * section.seed + half
    )
    keys = [store.keys[row] for row in rows]
    return train_judge(
        store.subset(rows),
        known.values(keys),
        config,
        on_update=lambda update, loss: bar.update(),
    )


def _row(found: Agreement) -> Row:
    match found.factor.kind:
        case "flag":
            return share_row(
                f"{found.factor.name}: judged right", found.right, found.n, measure="accuracy"
            )
        case "number":
            name = f"{found.factor.name}: median error"
            return Row(name=name, measure="mean error", value=round(found.error, 4), n=found.n)
        case _:
            name = f"{found.factor.name}: median intersection over union"
            return Row(name=name, measure="overlap", value=round(found.error, 4), n=found.n)


def lacking(agreements: Sequence[Agreement]) -> list[str]:
    """The factors that are not read well enough, with what was found."""
    found = []
    for one in agreements:
        name = one.factor.name
        if one.factor.kind == "flag" and one.right < _RIGHT * one.n:
            found.append(f"{name} {100 * one.right / one.n:.1f} %")
        if name == "yaw" and one.error > _DEGREES:
            found.append(f"yaw {one.error:.1f} degrees")
        if one.factor.kind == "box" and one.error < _OVERLAP:
            found.append(f"{name} {one.error:.2f}")
    return found
