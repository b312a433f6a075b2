"""One workspace with some results, and what is composed of it."""

from __future__ import annotations

import pytest
from page_elements import composed, make_catalogue
from small_results import publish_results

from dcgan_assets.assets.report.compose import Report
from dcgan_assets.engine.catalogue import Catalogue


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A workspace in which results of three groups are published. Nothing is changed in it."""
    catalogue = make_catalogue(tmp_path_factory.mktemp("report"))
    publish_results(catalogue.workspace.root)
    return catalogue


@pytest.fixture(scope="session")
def report(catalogue: Catalogue) -> Report:
    return composed(catalogue)
