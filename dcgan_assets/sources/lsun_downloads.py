"""LSUN's scene categories as downloads: the training pictures of each, one LMDB in a zip.

Sizes and checksums are those that TensorFlow Datasets publishes (url_checksums/lsun.txt). The
files were never fetched where this was written; `fetch` checks what arrives.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dcgan_models.errors import UserError
from dcgan_models.files import no_record, put_new, remove_file, staged

if TYPE_CHECKING:
    from dcgan_assets.sources.fetch import Download, Progress

_PUBLISHER = "http://dl.yf.io/lsun/scenes/"
_DATA_FILE = "data.mdb"
_DAY = 86_400.0  # 46 GB in the hour that is usual would need 13 MB a second


# Bytes and SHA-256 of each category's zip.
LSUN_CATEGORIES = MappingProxyType(
    {
        "bedroom": (
            45_922_737_680,
            "a15644c2e7153106867f0adb3491fc41224102d1f01b24494fb47d9f5d1f174e",
        ),
        "bridge": (
            16_478_644_518,
            "2701b2d421bbc4d8a5e9b0652ff7c3b57cd6495da8e0e85c39533275b5a925a3",
        ),
        "church_outdoor": (
            2_448_463_466,
            "91128ae026840ac0c5982b4445ab5fc4e092d6847cca76793b2b1a0815c2e74a",
        ),
        "classroom": (
            3_279_497_022,
            "73a8a3e318819e1cc602f229673c3f51a68f3ece61e3764ce22df6abea4d0873",
        ),
        "conference_room": (
            4_048_461_633,
            "fa0a4cf72e7acfb103392eaf33640d5508a728e971f31877b01d64e1bde6068c",
        ),
        "dining_room": (
            11_592_966_936,
            "e4ee24c7c309360c3bf019123ce5bbf17434b2ba33abec2b0b07cfae715a52cb",
        ),
        "kitchen": (
            35_791_384_987,
            "b1993cf639aece5d207a27eb9ff872bcca9dff6472d8227a052c79d40ee753c4",
        ),
        "living_room": (
            22_792_405_188,
            "bd2c52b812c80f73ce3062a221396d13a52b5cce2f813b4cdf61937651281d7a",
        ),
        "restaurant": (
            13_489_345_463,
            "11a0a924b960cd0900e9b7477d684fb338bd99cc5f72db1caac592e4f497e09a",
        ),
        "tower": (
            12_010_237_081,
            "440caec74c9641cb51fd235a5970c8e4931c3af875aeb044a8bcca956e106309",
        ),
    }
)


def lsun_download(category: str) -> Download:
    """A category as something to fetch."""
    from dcgan_assets.sources.fetch import Download

    size, sha256 = LSUN_CATEGORIES[category]
    name = f"{category}_train_lmdb.zip"
    about = f"LSUN, the training pictures of {category}"
    # The publisher's https certificate is not valid for this host; the checksum vouches.
    return Download(name, _PUBLISHER + name, size, sha256, "unstated", about, plain_http=True)


def database_folder(category: str, downloads: Path) -> Path:
    """Where a category's database lies once it is fetched."""
    return downloads / f"{category}_train_lmdb"


def fetch_database(category: str, downloads: Path, on_progress: Progress) -> Path:
    """Fetch and unpack a category, unless it is there: the folder with data.mdb.

    Raises:
        UserError: As `fetch` does, or the zip does not hold what LSUN's zips hold.
    """
    folder = database_folder(category, downloads)
    if (folder / _DATA_FILE).exists():
        return folder
    from filelock import FileLock

    downloads.mkdir(parents=True, exist_ok=True)
    # Of the shards that are made at once, the first fetches for all.
    with FileLock(downloads / f".{folder.name}.lock"):
        if not (folder / _DATA_FILE).exists():
            _fetch_and_unpack(category, folder, on_progress)
    return folder


def _fetch_and_unpack(category: str, folder: Path, on_progress: Progress) -> None:
    from dcgan_assets.sources.fetch import Patience, fetch

    downloads = folder.parent
    download = lsun_download(category)
    brought = not (downloads / download.name).exists()  # else somebody put it there
    path = fetch(download, downloads, on_progress, Patience(total=_DAY))
    try:
        # One member by its own name: nothing in the archive chooses where it is written.
        with (
            staged(folder, no_record) as fresh,
            zipfile.ZipFile(path) as archive,
            archive.open(f"{folder.name}/{_DATA_FILE}") as stream,
        ):
            with (fresh / _DATA_FILE).open("wb") as target:
                shutil.copyfileobj(stream, target, 1 << 20)
            folder.mkdir(exist_ok=True)
            put_new(fresh / _DATA_FILE, folder / _DATA_FILE)
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: cannot be unpacked ({error})") from None
    if brought:
        remove_file(path)
