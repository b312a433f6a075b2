"""DVC's settings of a workspace, written and read by the library that DVC does it with."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic, read_regular

if TYPE_CHECKING:
    from configobj import ConfigObj

CONFIG_FILE = Path(".dvc") / "config"
LOCAL_CONFIG_FILE = Path(".dvc") / "config.local"
BULK = "bulk"
SITE_CACHE = Path(".dvc") / "tmp" / "site_cache"
SITE_CACHE_VARIABLE = "DVC_SITE_CACHE_DIR"
_LARGEST = 1 << 20


def dvc_top(root: Path) -> Path:
    """The folder whose `.dvc` a workspace is under: its own, or one around it.

    One DVC repository may have several workspaces, a folder each, and then they share its cache,
    its settings and its remotes. No further than the git repository is looked; a workspace that is
    under no DVC is its own.
    """
    for folder in (root, *root.parents):
        if (folder / ".dvc").is_dir():
            return folder
        if (folder / ".git").exists():
            break
    return root


def new_settings(root: Path) -> bytes:
    """The `.dvc/config` of a new workspace, which need not be there yet.

    What a release holds goes into git with the workspace; what is large goes beside it, until the
    user names a place for it.

    Raises:
        UserError: The workspace's name does not come back as it is from a file of this kind.
    """
    from configobj import ConfigObj

    content = {
        "core": {"analytics": "false", "remote": "results"},
        "cache": {"type": "reflink,hardlink,copy"},
        'remote "results"': {"url": "../dvc-remote"},
        f'remote "{BULK}"': {"url": f"../../{root.name}-bulk"},
    }
    settings = ConfigObj(content, encoding="utf-8", interpolation=False, indent_type="    ")
    written = _kept(settings)
    if written is None:
        raise UserError(
            f"{root.name!a}: DVC cannot keep a folder of this name in its settings; choose "
            "another name for the workspace"
        )
    return written


def _kept(settings: ConfigObj) -> bytes | None:
    """Settings as a file of them; None where DVC would not read from it what they are."""
    from configobj import ConfigObj, ConfigObjError

    written = io.BytesIO()
    try:
        settings.write(written)
        text = io.TextIOWrapper(io.BytesIO(written.getvalue()), encoding="utf-8")
        comes_back = ConfigObj(text).dict() == settings.dict()
    except (ConfigObjError, UnicodeError):
        return None
    return written.getvalue() if comes_back else None


def keep_private(root: Path) -> None:
    """Let DVC keep what it remembers of files where no other user of the machine can write.

    By itself it takes a folder below `/var/tmp`, which is everybody's, and loads pickles from it.
    Ours is named in `.dvc/config.local`, where the user's own `dvc` reads it as well; neither is
    in git, so that a clone gets its own. What else the user names, in DVC's settings or in
    DVC_SITE_CACHE_DIR, stays; what we named before the workspace was moved does not.
    """
    root = dvc_top(root)
    if os.environ.get(SITE_CACHE_VARIABLE) or not (root / ".dvc").is_dir():
        return
    place = root / SITE_CACHE
    try:
        if not _name_site_cache(root, place):
            return
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.is_symlink():
            place.chmod(0o700)
    except OSError:  # where we may not write, DVC may not either, and says so
        return


def _name_site_cache(root: Path, place: Path) -> bool:
    """See to it that DVC's settings name a place; whether they do, and not one of the user's."""
    from configobj import ConfigObj, ConfigObjError

    path = root / LOCAL_CONFIG_FILE
    try:
        text = read_regular(path, _LARGEST).decode() if path.exists() else ""
        local = ConfigObj(text.splitlines(), encoding="utf-8", interpolation=False)
        core = local.setdefault("core", {})
        if core.get("site_cache_dir") == str(place):
            return True
        if not str(_site_cache(root) or SITE_CACHE).endswith(str(SITE_CACHE)):
            return False
        core["site_cache_dir"] = str(place)
    except (ConfigObjError, UnicodeError, AttributeError, TypeError):
        return False  # DVC says better what is wrong with its file
    written = _kept(local)
    if written is not None:
        with open_atomic(path) as stream:
            stream.write(written)
    return written is not None


def _site_cache(root: Path) -> str | None:
    """What DVC's settings name, of the workspace, the user or the machine."""
    from dvc.config import Config, ConfigError

    try:
        named: str | None = Config(str(root / ".dvc"))["core"].get("site_cache_dir")
    except (OSError, ConfigError, UnicodeError):
        return None
    return named


def read_settings(root: Path) -> dict[str, Any]:
    """What `.dvc/config` says: sections, and `remote` by name; nothing where it is not readable.

    DVC says better what is wrong with its file.
    """
    from configobj import ConfigObjError
    from dvc.config import Config, ConfigError

    try:
        settings: dict[str, Any] = Config.load_file(str(dvc_top(root) / CONFIG_FILE))
    except (OSError, ConfigError, ConfigObjError, UnicodeError):
        return {}
    return settings
