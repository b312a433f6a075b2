"""`python -m dcgan_assets.cli`: the `dcgan` command."""

from dcgan_assets.cli import main

if __name__ == "__main__":
    main()
