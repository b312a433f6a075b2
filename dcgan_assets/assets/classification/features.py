"""`cifar10/features` and `svhn/features`: what a discriminator sees in labelled pictures.

Sections 5.1 and 5.2: the activations of every convolution, max-pooled to 4x4 places. Batch norm's
statistics are those of the target's own training pictures, of SVHN without those for validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.labelled_images import labelled_store, read_labelled
from dcgan_assets.assets.pictures.shards import image_versions
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import GPU, Check, Outcome, Reading, Step, StepMaker, Verdict
from dcgan_assets.params.classification import Features, SvhnFeatures
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_models.data import PixelStore
from dcgan_models.files import write_json
from dcgan_models.grids import neighbour_sheet, write_png

if TYPE_CHECKING:
    from dcgan_models.classification.features import FeatureSummary

FEATURE_CHECKS = (Check("few_dead_channels", "Nine of ten channels are above zero somewhere."),)
FACTS_FILE = "features.json"
SHEET_FILE = "neighbours.png"
_DEAD_SHARE = 0.1
# Looked at before hours are spent on the rest.
_FIRST_LOOK = 1_024


def make_features(work: Work) -> Outcome:
    """Compute the features of all training and test pictures, and look at them."""
    from dcgan_models.classification.feature_table import feature_schema
    from dcgan_models.classification.feature_views import layer_views
    from dcgan_models.classification.features import feature_columns

    section: Features = work.section
    discriminator = _discriminator(work)
    preset = discriminator.preset
    table = read_labelled(work)
    pictures = labelled_store(work, table)
    splits = table["split"].to_pylist()
    chosen = rows_for_statistics(np.array(splits), section.validation, section.seed)
    training = pictures.subset(chosen)
    fix_for(discriminator, training)
    first_look(discriminator, training)
    summary = _write_features(work, discriminator, pictures, splits)
    facts = {
        "preset": preset.to_dict(),
        "images": image_versions(work),
        "validation": section.validation,
        "seed": section.seed,
    }
    write_json(work.out() / FACTS_FILE, facts)
    columns, layers = feature_columns(preset), layer_views(summary, preset)
    return Outcome(
        metadata={
            "dagster/row_count": len(pictures),
            "dagster/column_schema": shown.table_schema(feature_schema(columns.num_rows)),
            "dagster/column_lineage": _lineage(work, [layer.summary.layer for layer in layers]),
            "columns": columns.num_rows,
            "layers": shown.table([_rounded(layer.record()) for layer in layers]),
            **_neighbours(work, pictures),
        },
        verdicts=_judge([layer.summary for layer in layers]),
        figures={SHEET_FILE: "a test picture of each class, its nearest beside it"},
    )


def _write_features(
    work: Work, discriminator: Any, pictures: PixelStore, splits: list[str]
) -> FeatureSummary:
    """Write the table of features, also as parquet where that is asked for; what they are like."""
    from dcgan_models.classification.feature_table import write_feature_table, write_parquet
    from dcgan_models.classification.features import FeatureSummary, feature_blocks, feature_columns

    section: Features = work.section
    summary = FeatureSummary(discriminator.preset)
    with work.progress(len(pictures), "pictures") as bar:
        blocks = feature_blocks(discriminator, pictures)
        write_feature_table(
            work.out(),
            feature_columns(discriminator.preset),
            _summed(counted(blocks, bar, work.stop), summary),
            keys=pictures.keys,
            labels=pictures.labels,
            splits=splits,
        )
    summary.check()
    if section.parquet:
        write_parquet(work.out())
    return summary


def features_step(step: StepMaker, discriminator: str | None) -> Step:
    """What D sees in a group's labelled pictures; None is a discriminator that is no asset."""
    return step(
        "features",
        inputs=("images", discriminator) if discriminator else ("images",),
        kind="data",
        compute=make_features,
        source_version=None if discriminator else released_version,
        files=None if discriminator else _released,
        checks=FEATURE_CHECKS,
        pool=GPU,
        kinds=frozenset({"pytorch", "arrow"}),
        description=(
            "What a discriminator's convolutions see in every picture, max-pooled to 4x4 places "
            "(sections 5.1 and 5.2): 28,672 columns for `imagenet32`, 7,168 for `svhn32`, at full "
            "width."
        ),
    )


def _released(reading: Reading) -> tuple[str, ...]:
    section: SvhnFeatures = reading.section
    return (section.released,) if section.released else ()


def _lineage(work: Work, layers: list[int]) -> Any:
    """Which layers of which discriminator, and which columns of `images`, the table is made of."""
    import dagster as dg

    images, *networks = map(dg.AssetKey.from_user_string, work.step.inputs)
    same = {name: [dg.TableColumnDep(images, name)] for name in ("key", "label", "split")}
    made = [dg.TableColumnDep(key, f"layer {layer}") for key in networks for layer in layers]
    return dg.MetadataValue.column_lineage(dg.TableColumnLineage({**same, "features": made}))


def _neighbours(work: Work, pictures: PixelStore) -> dict[str, Any]:
    """A test picture of each class, and the training pictures that these features find nearest."""
    from dcgan_models.classification.feature_table import FeatureTable
    from dcgan_models.classification.feature_views import feature_neighbours, first_of_each_class

    section: Features = work.section
    table = FeatureTable.open(work.out())
    queries = first_of_each_class(table, table.rows("test"))
    found = feature_neighbours(table, queries, table.rows("train"), section.neighbours)
    sheet = neighbour_sheet(pictures.gather(queries), pictures, found.rows)
    write_png(work.out() / SHEET_FILE, sheet)
    facts: dict[str, Any] = {}
    shares = found.class_shares()
    if shares is not None:
        facts["neighbours_of_the_same_class"] = round(shares[0], 4)
        facts["the_same_by_chance"] = round(shares[1], 4)
    return facts


def _discriminator(work: Work) -> Any:
    """D that the section asks for, on the machine's device."""
    from dcgan_models import load_discriminator
    from dcgan_models.networks import on_device

    section: Features = work.section
    released = section.released if isinstance(section, SvhnFeatures) else None
    if released is not None:
        from dcgan_models.released import load_released_svhn

        discriminator = load_released_svhn(work.root / released)[1]
    else:
        (key,) = (key for key in work.step.inputs if key.endswith("/discriminator"))
        discriminator = load_discriminator(work.input(key))
    return on_device(discriminator, work.params.machine.device)


def released_version(reading: Reading) -> str:
    """The listing of the authors' arrays, where the features are theirs."""
    section: SvhnFeatures = reading.section
    return listing_version(reading.root / section.released) if section.released else ""


def rows_for_statistics(
    splits: npt.NDArray[np.str_], validation: int, seed: int
) -> npt.NDArray[np.int64]:
    """The training pictures that batch norm's statistics are taken from.

    Args:
        splits: (n,), `train` or `test` for each picture.
        validation, seed: So many are left out, those that C is chosen on; 0 takes all.
    """
    from dcgan_models.classification.protocols import split_rows

    if not validation:
        return np.flatnonzero(splits == "train")
    pool: npt.NDArray[np.int64] = split_rows(splits, validation, seed).pool
    return pool


def fix_for(discriminator: Any, training: PixelStore) -> None:
    """Take batch norm's statistics from the target's training pictures, as the authors did."""
    from dcgan_models.networks import fix_statistics

    fix_statistics(discriminator, training)


def first_look(discriminator: Any, training: PixelStore) -> None:
    """Refuse features that no classifier could use, on some pictures, before all are computed.

    Raises:
        UserError: A feature is not finite, or the same in all pictures.
    """
    from dcgan_models.classification.features import FeatureSummary, feature_blocks

    some = np.unique(np.linspace(0, len(training) - 1, _FIRST_LOOK).astype(np.int64))
    summary = FeatureSummary(discriminator.preset)
    for block in feature_blocks(discriminator, training.subset(some)):
        summary.add(block)
    summary.check()


def counted(blocks: Iterable[Any], bar: Any, stop: Any) -> Iterator[Any]:
    """Pass blocks on and show them on the bar; stop between two when asked to."""
    for block in blocks:
        if stop():
            stop.stop_now()
        bar.update(len(block))
        yield block


def _summed(blocks: Iterable[Any], summary: Any) -> Iterator[Any]:
    for block in blocks:
        summary.add(block)
        yield block


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in record.items()
    }


def _judge(layers: list[Any]) -> tuple[Verdict, ...]:
    channels = sum(layer.channels for layer in layers)
    dead = sum(len(layer.dead) for layer in layers)
    return (
        Verdict(
            "few_dead_channels",
            dead <= _DEAD_SHARE * channels,
            {"dead": dead, "channels": channels, "bound": _DEAD_SHARE},
        ),
    )
