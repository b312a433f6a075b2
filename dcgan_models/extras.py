"""What is installed only where it is asked for: a package that lacks is one line with its extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dcgan_models.errors import UserError


def from_extra(module: str, what: str, extra: str) -> Any:
    """Import a module that an extra of ours brings.

    Args:
        module: Its name, as in an import.
        what: Of ours, that needs it: the first words of the complaint.
        extra: Of pyproject.toml.

    Raises:
        UserError: It, or a package that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(missing(error, what, extra)) from None


def missing(error: ModuleNotFoundError, what: str, extra: str) -> str:
    """The line for a package that is not installed; raise the error where it is one of ours."""
    package = (error.name or "").partition(".")[0]
    if package.startswith("dcgan_"):
        raise error
    return f"{what} needs {package}, which is not installed: pip install 'dcgan-assets[{extra}]'"
