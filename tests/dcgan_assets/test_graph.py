"""The graph of each profile is the committed one: what changes it is seen in a diff.

Where a change is meant, `python tests/dcgan_assets/graph_table.py` writes the tables anew.
"""

from __future__ import annotations

import pytest
from graph_table import graph_table, table_file

from dcgan_assets.params.file import PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_the_graph_is_as_committed(profile: str) -> None:
    assert graph_table(profile) == table_file(profile).read_text(encoding="utf-8")
