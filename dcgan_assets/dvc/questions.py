"""What `dcgan status` asks DVC, in one process: `python -m dcgan_assets.dvc.questions`.

DVC's own commands answer, a line of JSON each, until one fails. Loading DVC takes as long as
answering, and it would read params.yaml once for every stage, and dvc.yaml and dvc.lock anew for
every command; here it does each once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

QUESTIONS = (("status", "--json"), ("data", "status", "--not-in-remote", "--json"))
# What the second question looks for beside what we read of its answer: the first has told of it.
_NOT_ASKED = ("_diff_index_to_wtree", "_diff_head_to_index", "_git_info")


def main() -> int:
    """Ask all; DVC's exit code where one failed, else 0."""
    import dvc.dependency.param as dependency
    import dvc.utils.strictyaml as files
    from dvc.cli import main as ask
    from dvc.repo import data

    dependency.load_path = cache(dependency.load_path)
    files.parse_yaml = _read_once(files.parse_yaml)
    for name in _NOT_ASKED:
        setattr(data, name, lambda *_, **__: {})
    return next((code for words in QUESTIONS if (code := ask(list(words)))), 0)


def _read_once(parse: Callable[..., Any]) -> Callable[..., Any]:
    """DVC's reader of dvc.yaml and dvc.lock, which reads one text once."""
    known: dict[str, Any] = {}

    def read(text: str, path: str, typ: str = "safe") -> Any:
        if typ != "safe":  # read to be written again, with its comments
            return parse(text, path, typ=typ)
        if text not in known:
            known[text] = parse(text, path, typ=typ)
        return deepcopy(known[text])

    return read


if __name__ == "__main__":
    sys.exit(main())
