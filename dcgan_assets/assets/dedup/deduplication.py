"""Deduplication of a group by semantic hashes (section 3.1): autoencoder, codes, manifest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.rejections import Intake
from dcgan_assets.assets.pictures.shards import (
    image_versions,
    open_pixels,
    pixel_files,
    read_manifests,
)
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.engine.terminal import say
from dcgan_assets.params.dedup import DedupAutoencoder, Deduplication
from dcgan_assets.params.pictures import HASH_SIDE
from dcgan_assets.sources.reading.items import key_hash
from dcgan_assets.sources.reading.manifest import MANIFEST_FILE
from dcgan_models.files import read_json, write_json

if TYPE_CHECKING:
    from dcgan_models.data import PixelStore
    from dcgan_models.dedup.autoencoder import Autoencoder

AUTOENCODER_FILE = "autoencoder.safetensors"
HASHES_FILE = "hashes.json"
PROBES_FILE = "probes.json"
# A code with fewer active bits says too little: that of a blank picture has none.
MIN_ACTIVE_BITS = 8
DUPLICATE = "duplicate"

AUTOENCODER_CHECKS = (
    Check(
        "codes_trusted",
        "Codes differ, their bits are alive and chance makes no equal pairs; else nothing may be "
        "removed by them.",
        required=True,
    ),
)
MANIFEST_CHECKS = (
    Check("counts_add_up", "Inputs are kept, duplicates or rejected.", required=True),
    Check("one_kept_a_group", "Every duplicate names a picture that is kept.", required=True),
)


def is_probe(key: str, share: float) -> bool:
    """Whether the autoencoder never sees a picture, so that recall can be measured on it."""
    return key_hash(f"probe/{key}") < share * 2.0**64


# --- The autoencoder ------------------------------------------------------------------------


def make_autoencoder(work: Work) -> Outcome:
    """Train the autoencoder on the group's 32-pixel pictures, probes left out."""
    from dcgan_models.dedup.autoencoder import save_autoencoder
    from dcgan_models.dedup.judging import judge_codes

    section: DedupAutoencoder = work.section
    pictures = open_pixels(work, HASH_SIDE)
    keys = kept_rows(read_manifests(work, ["key", "row"]))["key"].to_pylist()
    seen = np.array([not is_probe(key, section.probes) for key in keys])
    model, losses = _train(work, section, pictures.subset(np.flatnonzero(seen)))
    save_autoencoder(model, work.out() / AUTOENCODER_FILE)
    write_json(work.out() / PROBES_FILE, [key for key, s in zip(keys, seen, strict=True) if not s])
    some = pictures.subset(
        np.linspace(0, len(pictures) - 1, min(len(pictures), 50_000)).astype(int)
    )
    report_ = judge_codes(model.codes(some), MIN_ACTIVE_BITS)
    return Outcome(
        metadata={
            "loss": losses[-1],
            "trained_on": int(seen.sum()),
            "distinct_codes": report_.distinct,
            "mean_bit_entropy": report_.mean_bit_entropy,
            "dead_bits": report_.dead,
            "random_pairs_expected": report_.random_pairs,
        },
        verdicts=(
            Verdict(
                "codes_trusted",
                report_.trusted,
                {"codes": report_.rows, "failures": "; ".join(report_.failures) or "none"},
            ),
        ),
    )


def _train(
    work: Work, section: DedupAutoencoder, pictures: PixelStore
) -> tuple[Autoencoder, list[float]]:
    """Train on pictures, and report each epoch; the losses by epoch."""
    from dcgan_models.dedup.autoencoder import AutoencoderConfig, train_autoencoder
    from dcgan_models.machine import choose_device

    names = ("epochs", "max_updates", "batch", "learning_rate")
    config = AutoencoderConfig(seed=work.seed, **{n: getattr(section, n) for n in names})
    losses: list[float] = []
    with work.progress(section.epochs, "epochs") as bar:

        def report(epoch: Any) -> None:
            losses.append(epoch.loss)
            work.observe({"epoch": epoch.number, "loss": epoch.loss})
            bar.update()

        model = train_autoencoder(
            pictures,
            config,
            device=choose_device(work.params.machine.device),
            on_epoch=report,
            should_stop=work.stop,
        )
    if work.stop():
        say(f"{work.step.key}: stopped; it keeps no state and will begin anew")
        work.stop.stop_now()
    return model, losses


def autoencoder_step(step: StepMaker) -> Step:
    """A group's `dedup_autoencoder`, whose code is the semantic hash."""
    return step(
        "dedup_autoencoder",
        inputs=("images",),
        kind="models",
        compute=make_autoencoder,
        checks=AUTOENCODER_CHECKS,
        pool=GPU,
        seeded=True,
        kinds=frozenset({"pytorch"}),
        description=(
            "The 3072-128-3072 denoising autoencoder of section 3.1, dropout-regularised, with "
            "a ReLU code: which units are active is a picture's semantic hash."
        ),
    )


def kept_rows(manifest: Any) -> Any:
    """Rows of a manifest whose pictures have pixels, in the order of the pixels."""
    import pyarrow.compute as pc

    return manifest.filter(pc.is_valid(manifest["row"]))


# --- The codes ------------------------------------------------------------------------------


def make_hashes(work: Work) -> Outcome:
    """The code of every kept picture, a file a shard; shards that did not change are kept."""
    from dcgan_models.dedup.autoencoder import load_autoencoder

    autoencoder = work.sibling("dedup_autoencoder")
    model = load_autoencoder(work.input(autoencoder) / AUTOENCODER_FILE)
    made_with = {
        "autoencoder": work.inputs[autoencoder].data_version,
        "code": work.code_version,
    }
    shards = [{**made_with, "images": version} for version in image_versions(work).values()]
    earlier = _earlier_hashes(work)
    kept = total = 0
    with work.progress(len(shards), "shards") as bar:
        for number, (facts, files) in enumerate(
            zip(shards, pixel_files(work, HASH_SIDE), strict=True)
        ):
            path = work.out() / codes_file(number)
            known = earlier.get(number)
            if known is not None and known[0] == facts:
                path.write_bytes(known[1].read_bytes())
                kept += 1
            else:
                parts = [model.codes(np.load(file, mmap_mode="r")) for file in files]
                np.save(path, np.concatenate(parts))
            total += len(np.load(path, mmap_mode="r"))
            bar.update()
    write_json(work.out() / HASHES_FILE, shards)
    return Outcome(metadata={"codes": total, "shards": len(shards), "shards_unchanged": kept})


def hashes_step(step: StepMaker) -> Step:
    """A group's `hashes`."""
    return step(
        "hashes",
        inputs=("images", "dedup_autoencoder"),
        section="dedup_autoencoder",
        kind="data",
        compute=make_hashes,
        kinds=frozenset({"numpy"}),
        passes_on=True,
        description="The 128-bit code of every kept picture (section 3.1), a file a shard.",
    )


def codes_file(shard: int) -> str:
    """The file of a shard's codes: packed uint8 (n, 16)."""
    return f"codes_{shard:02d}.npy"


def _earlier_hashes(work: Work) -> dict[int, tuple[dict[str, str], Path]]:
    """What the published shards were made from, and where they lie."""
    folder = work.published(work.step.key)
    if folder is None:
        return {}
    shards = read_json(folder / HASHES_FILE)
    return {number: (facts, folder / codes_file(number)) for number, facts in enumerate(shards)}


def read_codes(work: Work) -> npt.NDArray[np.uint8]:
    """The codes of all kept pictures, packed uint8 (n, 16), in the order of the manifests."""
    folder = work.input(work.sibling("hashes"))
    return np.concatenate([np.load(path) for path in sorted(folder.glob("codes_*.npy"))])


# --- The manifest ---------------------------------------------------------------------------


def make_manifest(work: Work) -> Outcome:
    """Say of every input whether it is kept, a duplicate, or was rejected before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dcgan_models.dedup.codes import informative_codes

    section: Deduplication = work.section
    manifest = read_manifests(work)
    kept = manifest.filter(pa.array(_with_pixels(manifest)))
    codes = read_codes(work)
    duplicate_of = find_duplicates(codes, kept, section, open_pixels(work, HASH_SIDE))
    manifest = _with_codes(manifest, codes, duplicate_of)
    pq.write_table(manifest, work.out() / MANIFEST_FILE)
    removed = int((duplicate_of >= 0).sum())
    uninformative = int((~informative_codes(codes, MIN_ACTIVE_BITS)).sum())
    counts = {
        "inputs": len(manifest),
        "kept": len(kept) - removed,
        "duplicates": removed,
        "rejected": len(manifest) - len(kept),
    }
    return Outcome(
        metadata={
            "dagster/row_count": len(manifest),
            "dagster/column_schema": shown.table_schema(manifest.schema),
            **counts,
            "duplicates_share": removed / max(1, len(kept)),
            "too_few_active_bits": uninformative,
            "bits_that_may_differ": section.bits,
        },
        verdicts=(
            Verdict("counts_add_up", len(codes) == len(kept), counts),
            Verdict(
                "one_kept_a_group",
                bool((duplicate_of[duplicate_of[duplicate_of >= 0]] < 0).all()),
                {"duplicates": removed},
            ),
        ),
        summary=Intake.of(manifest).words,
    )


def _with_pixels(manifest: Any) -> npt.NDArray[np.bool_]:
    """Which rows have a picture: (n,)."""
    import pyarrow.compute as pc

    has: npt.NDArray[np.bool_] = pc.is_valid(manifest["row"]).to_numpy(zero_copy_only=False)
    return has


def _with_codes(
    manifest: Any, codes: npt.NDArray[np.uint8], duplicate_of: npt.NDArray[np.int64]
) -> Any:
    """The table with each picture's code, and what it is a duplicate of: that rejects it.

    Args:
        manifest: Of all inputs; null in the new columns where there is no picture.
        codes, duplicate_of: Of the pictures, in their order.
    """
    import pyarrow as pa

    from dcgan_assets.sources.reading.manifest import reject_copies
    from dcgan_models.dedup.codes import active_bits

    with_pixels = _with_pixels(manifest)

    def spread(values: Any) -> list[Any]:
        column = np.full(len(manifest), None, object)
        column[with_pixels] = values
        return list(column.tolist())

    keys = np.array(manifest["key"].to_pylist(), object)[with_pixels]
    named = np.full(len(keys), None, object)
    named[duplicate_of >= 0] = keys[duplicate_of[duplicate_of >= 0]]
    code = pa.array(spread([code.tobytes() for code in codes]), pa.binary(codes.shape[1]))
    manifest = manifest.append_column("code", code)
    active = pa.array(spread(active_bits(codes)), pa.int64())
    manifest = manifest.append_column("active_bits", active)
    return reject_copies(manifest, spread(named), DUPLICATE)


def manifest_step(step: StepMaker) -> Step:
    """The `manifest` of a group whose near-duplicates are removed."""
    return step(
        "manifest",
        inputs=("images", "hashes"),
        kind="data",
        compute=make_manifest,
        checks=MANIFEST_CHECKS,
        kinds=frozenset({"parquet", "table"}),
        passes_on=True,
        description=(
            "Every input: kept, a duplicate of a kept one by its code, or rejected with a "
            "reason (section 3.1)."
        ),
    )


def find_duplicates(
    codes: npt.NDArray[np.uint8], kept: Any, section: Deduplication, pictures: Any
) -> npt.NDArray[np.int64]:
    """For each picture the row that is kept in its place, -1 for those that stay.

    Of a group the picture of the largest original stays, the first key among equals. Near codes
    count where the pictures, 32 pixels wide, are alike as well.
    """
    from dcgan_models.dedup.codes import informative_codes
    from dcgan_models.dedup.confirming import alike
    from dcgan_models.dedup.grouping import choose_kept, exact_groups, near_groups

    area = kept["original_width"].to_numpy() * kept["original_height"].to_numpy()
    order = np.lexsort((np.array(kept["key"].to_pylist()), -area))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    informative = informative_codes(codes, MIN_ACTIVE_BITS)
    if section.mode == "near":
        groups = near_groups(
            codes, informative, rank, section.radius, confirm=partial(alike, pictures)
        )
    else:
        groups = exact_groups(codes, informative)
    return choose_kept(groups, rank)
