"""Trees of files as they come: bins, links to anywhere, folders that nobody may list."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_assets.sources import mnist
from dcgan_assets.sources.archive import Archive
from dcgan_assets.sources.folder import Folder
from dcgan_assets.sources.imagenet import imagenet
from dcgan_assets.sources.reading.items import Source, UnreadableError, forget_listings
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_assets.sources.web.search.picture_folder import read_folder_picture
from dcgan_models.errors import UserError

LITTER = (
    "@eaDir/cat.jpg/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/deleted.jpg",
    "sub/@Recycle/deleted.jpg",
    "$RECYCLE.BIN/$R12.jpg",
    "System Volume Information/x.jpg",
    ".Trash-1000/files/deleted.jpg",
    ".thumbnails/cat.jpg",
    "__MACOSX/sub/._cat.jpg",
    "sub/._cat.jpg",
    "sub/Thumbs.db",
    "ehthumbs.db",
    "Desktop.ini",
    "Icon\r",
    "lost+found/#123.jpg",
    "#snapshot/yesterday/cat.jpg",
)
PICTURES = ("cat.jpg", "sub/cat.jpg", "recycle/glass.jpg", "tmp/x.jpg", "snapshot/x.jpg")


@pytest.fixture
def tree(fresh_listings: None) -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of the superuser, whom no folder keeps out."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def closed(*folders: Path) -> Iterator[None]:
    """Folders that may not be listed."""
    for folder in folders:
        folder.chmod(0)
    try:
        with nobody():
            yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def keys(source: Source) -> list[str]:
    return sorted(item.key for item in source.items(0, 1))


def reasons(source: Source) -> dict[str, str]:
    """Of what is not read, by key."""
    found = {}
    for item in source.items(0, 1):
        try:
            item.location.read()
        except UnreadableError as error:
            found[item.key] = str(error)
    return found


# --- What systems leave about -----------------------------------------------------------------


def test_bins_and_thumbnails_are_no_pictures(tree: Path) -> None:
    for name in PICTURES:
        put(tree / "in" / name)
    bare = Folder(tree / "in").version(0, 1), listing_version(tree / "in")
    for name in LITTER:
        put(tree / "in" / name)
    forget_listings()
    assert keys(Folder(tree / "in")) == sorted(PICTURES)
    assert (Folder(tree / "in").version(0, 1), listing_version(tree / "in")) == bare
    with zipfile.ZipFile(tree / "a.zip", "w") as packed:
        for name in (*PICTURES, *LITTER):
            packed.writestr(name, b"x")
    with tarfile.open(tree / "a.tar", "w") as packed_tar:
        packed_tar.add(tree / "in", ".")
    for archive in ("a.zip", "a.tar"):
        assert keys(Archive(tree / archive)) == sorted(PICTURES)


def test_bins_are_no_classes_and_no_digits(tree: Path) -> None:
    from PIL import Image

    put(tree / "in/n00000001/a.jpg")
    put(tree / "in/lost+found/a.jpg")
    put(tree / "in/@eaDir/a.jpg")
    assert imagenet(tree / "in").classes == ("n00000001",)
    (tree / "digits/7").mkdir(parents=True)
    for name in ("a.png", "._a.png", "Thumbs.db"):
        Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(tree / "digits/7" / name, "PNG")
    assert mnist.from_folder(tree / "digits").table["key"].to_pylist() == ["7/a.png"]


# --- What may not be read ---------------------------------------------------------------------


def test_a_folder_that_cannot_be_listed_is_a_row(tree: Path) -> None:
    for name in ("a.jpg", "mine/b.jpg", "theirs/c.jpg", "mine/deep/theirs/d.jpg"):
        put(tree / name)
    source = Folder(tree, labels=True)
    shut = tree / "theirs", tree / "mine/deep/theirs"
    with closed(*shut):
        why = "a folder that cannot be listed (Permission denied)"
        assert reasons(source) == {"theirs/": why, "mine/deep/theirs/": why}
        assert keys(source) == ["a.jpg", "mine/b.jpg", "mine/deep/theirs/", "theirs/"]
        # The labels do not move when somebody opens it.
        assert source.classes == ("mine", "theirs")
        before = source.version(0, 1)
    forget_listings()
    assert keys(source) == ["a.jpg", "mine/b.jpg", "mine/deep/theirs/d.jpg", "theirs/c.jpg"]
    assert source.version(0, 1) != before


def test_only_the_top_folder_refuses(tree: Path) -> None:
    put(tree / "in/a.jpg")
    with closed(tree / "in"), pytest.raises(UserError, match=r"cannot be listed \(Permission"):
        Folder(tree / "in").items(0, 1)
    # With nothing but what cannot be listed there is still no picture to speak of.
    put(tree / "out/sub/a.jpg")
    with closed(tree / "out/sub"):
        assert list(reasons(Folder(tree / "out"))) == ["sub/"]


def test_a_class_of_imagenet_that_cannot_be_listed_stays_a_class(tree: Path) -> None:
    for name in ("n00000001/a.jpg", "n00000002/b.jpg", "n00000003/c.jpg"):
        put(tree / name)
    with closed(tree / "n00000002"):
        source = imagenet(tree)
        assert source.classes == ("n00000001", "n00000002", "n00000003")
        assert {item.key: item.label for item in source.items(0, 1)} == {
            "n00000001/a.jpg": 0,
            "n00000002/": 1,
            "n00000003/c.jpg": 2,
        }
        assert list(reasons(source)) == ["n00000002/"]


# --- Links ------------------------------------------------------------------------------------

DIGESTS = [f"{number:032x}" for number in range(40)]


def workspace(root: Path, cache: str = "cache") -> Path:
    """A folder under DVC, whose cache may lie elsewhere; the objects' own folder in the cache."""
    (root / ".dvc").mkdir(parents=True)
    settings = f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n"
    (root / ".dvc/config").write_text(settings, encoding="utf-8")
    objects = Path(os.path.normpath(root / ".dvc" / cache)) / "files/md5"
    for digest in DIGESTS[:3]:
        put(objects / digest[:2] / digest[2:], digest.encode())
    return objects


def link(place: Path, objects: Path, digest: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(objects / digest[:2] / digest[2:])


@pytest.mark.parametrize("cache", ["cache", "../../shared/cache", "absolute"])
def test_links_into_the_workspaces_dvc_cache_are_read(tree: Path, cache: str) -> None:
    cache = str(tree / "disk") if cache == "absolute" else cache
    objects = workspace(tree / "ws", cache)
    link(tree / "ws/pics/a.jpg", objects, DIGESTS[0])
    link(tree / "ws/pics/sub/b.jpg", objects, DIGESTS[1])
    put(tree / "ws/pics/c.jpg", b"c")
    source = Folder(tree / "ws/pics", tree / "ws")
    assert reasons(source) == {}
    found = {item.key: item.location.read().decode() for item in source.items(0, 1)}
    assert found == {"a.jpg": DIGESTS[0], "sub/b.jpg": DIGESTS[1], "c.jpg": "c"}
    # What the version goes by is the file, not the link.
    before = source.version(0, 1)
    target = (tree / "ws/pics/a.jpg").resolve()
    os.utime(target, ns=(0, target.stat().st_mtime_ns + 1))
    forget_listings()
    assert source.version(0, 1) != before
    address = "folder:sub/b.jpg"
    assert read_folder_picture(tree / "ws/pics", address, tree / "ws") == DIGESTS[1].encode()
    with pytest.raises(UnreadableError, match="does not lie"):
        read_folder_picture(tree / "ws/pics", address)


def test_what_dvc_itself_links_is_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo

    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    root = tree / "ws"
    for number in range(3):
        put(root / f"pics/{number}.jpg", bytes([number]))
    # A cache of its own that only this machine's settings name.
    with Repo.init(str(root), no_scm=True) as repo:
        settings = repo.config.files["local"]
    Path(settings).write_text(f"[cache]\n    type = symlink\n    dir = {tree / 'disk'}\n")
    with Repo(str(root)) as repo:
        repo.add([str(root / "pics")])
    assert (root / "pics/0.jpg").is_symlink()
    assert reasons(Folder(root / "pics", root)) == {}
    assert set(reasons(Folder(root / "pics")).values()) == {"a symlink that leaves the folder"}


def test_no_other_link_leads_out(tree: Path) -> None:
    objects = workspace(tree / "ws")
    theirs = workspace(tree / "other")
    secret = put(tree / "secret.jpg")
    pics = tree / "ws/pics"
    put(pics / "a.jpg")
    # An object that is itself a link, a folder's list, a name too long, a file beside the objects.
    link(objects / DIGESTS[5][:2] / DIGESTS[5][2:], tree, "")
    (objects / "00" / DIGESTS[6][2:]).symlink_to(secret)
    put(objects / "00" / f"{DIGESTS[7][2:]}.dir")
    put(objects / "00" / f"{DIGESTS[8][2:]}0")
    put(objects.parent / "00" / DIGESTS[9][2:])
    link(pics / "object-is-a-link.jpg", objects, DIGESTS[6])
    link(pics / "list.jpg", objects, f"{DIGESTS[7]}.dir")
    link(pics / "long.jpg", objects, f"{DIGESTS[8]}0")
    link(pics / "beside.jpg", objects.parent, DIGESTS[9])
    link(pics / "of-another.jpg", theirs, DIGESTS[0])
    (pics / "settings.jpg").symlink_to(tree / "ws/.dvc/config")
    (pics / "through.jpg").symlink_to(objects / "00/../../../../../../secret.jpg")
    # It looks like an object, and lies where no cache of ours is.
    put(tree / "fake/files/md5/00" / DIGESTS[0][2:])
    link(pics / "fake.jpg", tree / "fake/files/md5", DIGESTS[0])
    found = reasons(Folder(pics, tree / "ws"))
    assert set(found.values()) == {"a symlink that leaves the folder"}
    assert sorted(found) == sorted(set(os.listdir(pics)) - {"a.jpg"})  # noqa: PTH208
    # An object that is gone.
    link(pics / "gone.jpg", objects, DIGESTS[30])
    forget_listings()
    assert reasons(Folder(pics, tree / "ws"))["gone.jpg"] == "a symlink to nothing"


def test_without_dvc_no_link_leads_out(tree: Path) -> None:
    put(tree / "ws/.dvc/cache/files/md5/00" / DIGESTS[0][2:])
    link(tree / "ws/pics/a.jpg", tree / "ws/.dvc/cache/files/md5", DIGESTS[0])
    assert list(reasons(Folder(tree / "ws/pics", tree / "ws"))) == ["a.jpg"]


def test_digits_that_dvc_links_are_read(tree: Path) -> None:
    from PIL import Image

    objects = workspace(tree / "ws")
    place = objects / "00" / DIGESTS[0][2:]
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(place, "PNG")
    link(tree / "ws/digits/7/a.png", objects, DIGESTS[0])
    assert len(mnist.from_folder(tree / "ws/digits", workspace=tree / "ws").pixels) == 1
    with pytest.raises(UserError, match="a symlink that leaves the folder"):
        mnist.from_folder(tree / "ws/digits")


# --- Any tree ---------------------------------------------------------------------------------

KINDS = ("file", "litter", "folder", "closed", "in", "out", "object", "nothing", "loop", "pipe")
STEMS = st.binary(min_size=1, max_size=6).filter(
    lambda name: not set(name) & {0, ord("/")} and not name.startswith(b".")
)


@pytest.fixture(scope="module")
def cached() -> Iterator[Path]:
    """A workspace under DVC, which is opened once."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        link(root / "ws/others/a", workspace(root / "ws"), DIGESTS[0])
        forget_listings()
        assert not reasons(Folder(root / "ws/others", root / "ws"))
        yield root
    forget_listings()


@given(st.lists(st.tuples(st.sampled_from(KINDS), STEMS, st.integers(0, 5)), max_size=12))
def test_any_tree_is_listed_once_and_nothing_outside_is_read(
    cached: Path, plan: list[tuple[str, bytes, int]]
) -> None:
    root, objects = cached, cached / "ws/.dvc/cache/files/md5"
    secret = put(root / "secret", b"secret")
    with tempfile.TemporaryDirectory(dir=root / "ws") as name:
        top = Path(name)
        top.chmod(0o755)
        put(top / "first", b"ok")
        open_folders, shut, good, bad = [top], list[Path](), {b"first"}, set[bytes]()
        for kind, stem, where in plan:
            parent = open_folders[where % len(open_folders)]
            path = parent / os.fsdecode(stem)
            if kind == "litter":
                put(parent / "@eaDir" / os.fsdecode(stem), b"litter")
                continue
            if os.path.lexists(path):
                continue
            inside = os.fsencode(path.relative_to(top))
            match kind:
                case "file":
                    put(path, b"ok")
                case "folder":
                    path.mkdir()
                    open_folders.append(path)
                case "closed":
                    put(path / "hidden", b"hidden")
                    shut.append(path)
                case "pipe":
                    os.mkfifo(path)
                case _:
                    targets = {"in": top / "first", "out": secret, "loop": path}
                    missing = objects / "00" / DIGESTS[30][2:]
                    there = objects / "00" / DIGESTS[1][2:]
                    path.symlink_to({**targets, "object": there, "nothing": missing}[kind])
            if kind in {"file", "in", "object"}:
                good.add(inside)
            elif kind != "folder":
                bad.add(inside + b"/" * (kind == "closed"))
        with closed(*shut):
            items = Folder(top, root / "ws").items(0, 1)
            refused = reasons(Folder(top, root / "ws"))
            read = {item.location.read() for item in items if item.key not in refused}
        assert len({item.key for item in items}) == len(items) == len(good) + len(bad)
        assert len(refused) == len(bad)
        assert read <= {b"ok", DIGESTS[1].encode()}
