"""The whole graph as a table: of each asset its inputs, section, checks and code version.

`python tests/dcgan_assets/graph_table.py` writes graph/PROFILE.json beside this file anew. A change
that is to leave the graph as it is, as a move of modules is, leaves these files as they are.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PROFILES, profile_text

TABLES = Path(__file__).parent / "graph"


def graph_table(profile: str) -> str:
    """The graph of a profile, asset by asset in the order of keys, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "params.yaml").write_text(profile_text(profile), encoding="utf-8")
        catalogue = open_catalogue(Workspace(root))
        table = {
            key: {
                "code": catalogue.code_version(step),
                "section": step.section,
                "inputs": [*step.inputs, *(f"{key} if there" for key in step.if_there)],
                "checks": [f"{c.name}{', required' * c.required}" for c in step.checks],
            }
            for key, step in catalogue.by_key.items()
        }
    return json.dumps(table, indent=1, sort_keys=True) + "\n"


def table_file(profile: str) -> Path:
    """Where the committed table of a profile lies."""
    return TABLES / f"{profile}.json"


if __name__ == "__main__":
    TABLES.mkdir(exist_ok=True)
    for each in PROFILES:
        table_file(each).write_text(graph_table(each), encoding="utf-8")
