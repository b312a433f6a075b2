"""What `dcgan status` asks DVC, in one process: `python -m dcgan_assets.dvc.questions`.

DVC's own commands answer, a line of JSON each, until one fails. Loading DVC takes as long as
answering, and it would read params.yaml once for every stage; here it does both once.
"""

from __future__ import annotations

import sys
from functools import cache

QUESTIONS = (("status", "--json"), ("data", "status", "--not-in-remote", "--json"))


def main() -> int:
    """Ask all; DVC's exit code where one failed, else 0."""
    import dvc.dependency.param as dependency
    from dvc.cli import main as ask

    dependency.load_path = cache(dependency.load_path)
    return next((code for words in QUESTIONS if (code := ask(list(words)))), 0)


if __name__ == "__main__":
    sys.exit(main())
