"""The `dcgan` command: one line where the pipeline's packages are not installed."""

from __future__ import annotations

import sys

from dcgan_assets.engine.collector import collect_seldom
from dcgan_models.extras import missing


def main() -> None:
    """Run the command; without the extra `pipeline`, say how to install it and exit with 1."""
    collect_seldom()
    try:
        from dcgan_assets.cli import main as command

        command()  # which imports as it needs
    except ModuleNotFoundError as error:
        sys.exit(f"error: {missing(error, 'dcgan', 'pipeline')}")


if __name__ == "__main__":
    main()
