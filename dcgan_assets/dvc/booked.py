"""Whether DVC's books and its cache hold what stands: asked of DVC itself, and without its inputs.

`dvc status` also reads all that a stage is made of, which may be a million pictures of the user's.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from dcgan_models.errors import UserError


def unbooked(root: Path, names: Collection[str]) -> dict[str, str]:
    """The stages of these names whose outputs are not as booked, each with what DVC says of one.

    An output is modified, new or deleted, or its content is not in DVC's cache though it belongs
    there.

    Raises:
        UserError: DVC cannot read its files, or what stands.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    found = dict.fromkeys(names, "not in dvc.yaml")
    try:
        with Repo(str(root)) as repo:
            for stage in repo.index.stages:
                # Another workspace of this DVC repository may have a stage of the same name.
                of_ours = Path(stage.path).parent == root.resolve()
                if of_ours and getattr(stage, "name", None) in found:
                    said = [how for out in stage.outs for how in out.status().values()]
                    found[stage.name] = said[0] if said else ""
    except (DvcException, OSError) as error:
        raise UserError(f"dvc: {' '.join(str(error).split())}") from None
    return {name: how for name, how in found.items() if how}
