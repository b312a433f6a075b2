"""All steps of a workspace."""

from __future__ import annotations

from collections.abc import Callable

from dcgan_assets.assets.digits import ablations, mnist, sampling_statistics
from dcgan_assets.assets.groups import (
    albums_group,
    cifar10_group,
    faces_group,
    image_group,
    svhn_group,
)
from dcgan_assets.assets.report import architecture
from dcgan_assets.assets.report.making import report_steps
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import Params


def open_catalogue(workspace: Workspace) -> Catalogue:
    """Collect the steps of every group of pictures that has a section, and of the report."""
    params = workspace.params
    makers: dict[str, Callable[[], tuple[Step, ...]]] = {
        "mnist": lambda: _mnist(params),
        "report": lambda: architecture.STEPS,
        "lsun": lambda: image_group(
            "lsun",
            "lsun",
            "LSUN bedrooms",
            dedup=True,
            early=bool(params.lsun.samples.epochs),
            inside=params.lsun,
        ),
        "faces": lambda: faces_group(params.faces),
        "albums": lambda: albums_group(params.albums),
        "imagenet": lambda: image_group(
            "imagenet",
            "imagenet",
            "ImageNet-1k at 32 pixels",
            ordered=True,
            walk=False,
            early=bool(params.imagenet.samples.epochs),
        ),
        "cifar10": cifar10_group,
        "svhn": lambda: svhn_group(params.svhn),
    }
    there = params.sections()
    steps = [step for name, make in makers.items() if name in there for step in make()]
    for name, section in params.groups.items():
        about = f"the pictures of `{name}`"
        early = bool(section.samples.epochs)
        steps += image_group(name, f"groups.{name}", about, early=early, inside=section)
    steps += report_steps(steps) if "report" in there else ()
    return Catalogue(workspace, tuple(steps))


def _mnist(params: Params) -> tuple[Step, ...]:
    explorer = (mnist.EXPLORER,) if params.mnist.explorer is not None else ()
    return (*mnist.STEPS, *sampling_statistics.STEPS, *ablations.STEPS, *explorer)
