"""All steps of a workspace."""

from __future__ import annotations

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
from dcgan_assets.engine.workspace import Workspace


def open_catalogue(workspace: Workspace) -> Catalogue:
    """Collect the steps of every domain and every group of pictures."""
    domains = (mnist, sampling_statistics, ablations, architecture)
    steps = [step for domain in domains for step in domain.STEPS]
    params = workspace.params
    steps += (mnist.EXPLORER,) if params.mnist.explorer is not None else ()
    steps += image_group("lsun", "lsun", "LSUN bedrooms", dedup=True, inside=params.lsun)
    steps += faces_group(params.faces)
    steps += albums_group(params.albums)
    steps += image_group(
        "imagenet",
        "imagenet",
        "ImageNet-1k at 32 pixels",
        ordered=True,
        walk=False,
        early=bool(params.imagenet.samples.epochs),
    )
    steps += cifar10_group()
    steps += svhn_group(params.svhn)
    for name, section in params.groups.items():
        about = f"the pictures of `{name}`"
        early = bool(section.samples.epochs)
        steps += image_group(name, f"groups.{name}", about, early=early, inside=section)
    steps += report_steps(steps)
    return Catalogue(workspace, tuple(steps))
