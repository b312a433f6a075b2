"""`python -m dcgan_assets.cli`: the `dcgan` command."""

from dcgan_assets.cli import main
from dcgan_assets.engine.collector import collect_seldom

if __name__ == "__main__":
    collect_seldom()
    main()
