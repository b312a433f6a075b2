"""YAML 1.2, read and written in one way, so that params.yaml means the same to us and to DVC.

In YAML 1.1, which other readers take, `1e-3` is a text, `no` is false and 042 is 34. Here they are
a number, a text and 42.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from dcgan_models.errors import UserError

_TWICE = re.compile(r'found duplicate (?:merge )?key "(.*?)"', re.DOTALL)
# Ends of lines to YAML alone: as they are, they come back as spaces.
_LINE_ENDS = re.compile("[\\x85\\u2028\\u2029]")
_NEVER_FOLDED = 2**20
_LONGEST = 300  # characters of a complaint


def parse_yaml(text: str, where: str) -> Any:
    """The content of one YAML document: mappings, lists and scalars; None of an empty one.

    Args:
        where: What the line says of the text, such as its file.

    Raises:
        UserError: It is not YAML, or has a key twice; the line of the text is named.
    """
    try:
        # Pure: where ruamel's C library is installed, its grammar is another one.
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        raise UserError(f"{where}: {_complaint(error)}") from None
    # For a value that cannot be (`!!int x`, 2026-13-45) come Python's own errors of all kinds.
    except Exception as error:
        raise UserError(f"{where}: not YAML ({_one_line(error)})") from None


def read_yaml(path: Path) -> Any:
    """The content of a YAML file in UTF-8, as `parse_yaml` has it.

    Raises:
        FileNotFoundError: There is none.
        UserError: It cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{path}: not UTF-8 (byte {byte:#04x} at {error.start:,})") from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None
    return parse_yaml(text, str(path))


def yaml_text(content: Any) -> str:
    """Mappings, lists and scalars as a YAML document, in their own order, nothing folded."""
    writer = YAML()
    writer.Representer = _Representer
    writer.width = _NEVER_FOLDED
    stream = io.StringIO()
    writer.dump(content, stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Quotes what a plain text in YAML would lose."""


def _represent_text(representer: Any, text: str) -> Any:
    style = '"' if _LINE_ENDS.search(text) else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Representer.add_representer(str, _represent_text)


def _complaint(error: MarkedYAMLError) -> str:
    """What is wrong and where, without the excerpt of the text."""
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}" if mark is not None else "somewhere"
    twice = _TWICE.match(error.problem or "")
    if twice:
        return f"{place}: the key `{_one_line(twice[1])}` is there twice"
    return f"not YAML ({place}: {_one_line(error.problem or error)})"


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:_LONGEST]
