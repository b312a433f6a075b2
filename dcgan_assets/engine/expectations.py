"""What a run that is made elsewhere must be made with: the code, parameters and packages.

A worker has its own installation, and reads params.yaml when its run begins. The command that asks
tags the run with what it plans with itself; what differs is refused before anything is touched.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
from collections.abc import Iterable, Mapping

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.step import Step
from dcgan_models.errors import UserError

CODE_TAG, PACKAGES_TAG, ROOT_TAG = "dcgan/code", "dcgan/packages", "dcgan/root"
_PROJECT = "dcgan-assets"
_NAME = re.compile(r"[\w.-]+")


def code_of(catalogue: Catalogue, steps: Iterable[Step]) -> dict[str, str]:
    """The version of each step's code and parameters, the seed of params.yaml with it, by key."""
    seed = catalogue.workspace.params.seed
    return {
        step.key: f"{catalogue.code_version(step)}{f' seed {seed}' if step.seeded else ''}"
        for step in steps
    }


def packages() -> dict[str, str]:
    """Versions of this project and of what computes for it, by name; builds are not told apart.

    A CPU and a CUDA build of torch are of one version: machines differ in that.
    """
    asked = [text for text in importlib.metadata.requires(_PROJECT) or [] if "extra ==" not in text]
    found = [_NAME.match(text) for text in asked]
    names = [_PROJECT, *(match[0] for match in found if match)]
    return {name: importlib.metadata.version(name).partition("+")[0] for name in sorted(names)}


def require_expected(catalogue: Catalogue, step: Step, tags: Mapping[str, str]) -> None:
    """Refuse to make a step with another folder, code or packages than its run was planned with.

    Args:
        tags: Of the run; one that says nothing of all this is not refused.

    Raises:
        UserError: The line says what differs, and where.
    """
    here, root = socket.gethostname(), str(catalogue.workspace.root)
    if tags.get(ROOT_TAG, root) != root:
        raise UserError(
            f"{step.key}: the workspace is {root} on {here}, and {tags[ROOT_TAG]} where the run "
            "was planned; mount it at the same path"
        )
    if PACKAGES_TAG in tags:
        theirs, ours = json.loads(tags[PACKAGES_TAG]), packages()
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                raise UserError(
                    f"{step.key}: {name} is {ours.get(name, 'absent')} on {here}, and "
                    f"{theirs.get(name, 'absent')} where the run was planned; install the same"
                )
    if CODE_TAG in tags:
        planned = json.loads(tags[CODE_TAG])
        if planned.get(step.key) != code_of(catalogue, [step])[step.key]:
            raise UserError(
                f"{step.key}: params.yaml or this project's code on {here} is another one than "
                "where the run was planned; bring both to the same state"
            )
