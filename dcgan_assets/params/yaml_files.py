"""YAML 1.2, read and written in one way, so that params.yaml means the same to us and to DVC.

In YAML 1.1, which other readers take, `1e-3` is a text, `no` is false and 042 is 34. Here they are
a number, a text and 42.

What is read is bounded while it is composed, before any value is built: the bytes of a file, how
deep it goes, and how many values it holds with every alias written out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import RoundTripRepresenter

from dcgan_models.errors import UserError
from dcgan_models.files import read_regular

# A dvc.lock of a hundred groups takes less; params.yaml has 7 KB.
LARGEST_YAML = 2**20  # bytes
DEEPEST = 32  # mappings and lists within one another
MOST_VALUES = 100_000  # keys, values, lists and mappings, aliases written out
_MOST_DIGITS = 100
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
        UserError: It is not YAML, has a key twice, goes too deep or holds too much; the line of
            the text is named.
    """
    with _said_of(where):
        return deepcopy(_parse_once(text))


# A command asks several times for dvc.lock, which takes a quarter of a second to read.
@lru_cache(maxsize=8)
def _parse_once(text: str) -> Any:
    # Pure: where ruamel's C library is installed, its grammar is another one.
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    return _load(reader, text)


def parse_to_edit(editor: YAML, text: str, where: str) -> Any:
    """As `parse_yaml`, with the comments and the order that `editor` writes again.

    Args:
        editor: A round-trip reader with the style in which it writes.
    """
    with _said_of(where):
        return _load(editor, text)


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    """Outside what is remembered: the same text may lie in many places."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _load(reader: YAML, text: str) -> Any:
    if len(text) > LARGEST_YAML:
        raise UserError(f"{len(text):,} characters; at most {LARGEST_YAML:,} are read")
    reader.Composer = _BoundedComposer
    try:
        return reader.load(text)
    except _OutOfBoundsError as error:
        raise UserError(f"{_place(error)}: {error.problem}") from None
    except MarkedYAMLError as error:
        raise UserError(_complaint(error)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"U+{ord(text[error.position]):04X}"
        raise UserError(f"not YAML (line {line}: {found} is not allowed there)") from None
    # For what nobody foresaw come Python's own errors of all kinds.
    except Exception as error:
        raise UserError(f"not YAML ({_one_line(error)})") from None


def read_yaml(path: Path) -> Any:
    """The content of a YAML file in UTF-8, as `parse_yaml` has it.

    Raises:
        FileNotFoundError: There is none.
        UserError: It cannot be read, is larger than 1 MiB, or is not YAML.
    """
    return parse_yaml(read_yaml_text(path), str(path))


def read_yaml_text(path: Path) -> str:
    """The text of a YAML file in UTF-8; raise as `read_yaml` does."""
    try:
        return read_regular(path, LARGEST_YAML).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{path}: not UTF-8 (byte {byte:#04x} at {error.start:,})") from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None


class _OutOfBoundsError(MarkedYAMLError):
    """YAML, and more of it than is read."""


class _BoundedComposer(Composer):
    """Counts what it composes, an alias as often as it is written; ruamel keeps `depth`."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # allowed: the last one counts
        self._values = 0
        # The levels below the node that is being composed.
        self._below = 0
        # Of each node that is whole: its values, itself included, and its levels.
        self._whole: dict[Node, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As ruamel's; raise `_OutOfBoundsError` for what is deep, large, or in itself."""
        event = self.parser.peek_event()
        self._require_depth(event, 1)
        values_before, below_before = self._values, self._below
        self._below = 0
        node = super().compose_node(parent, index)
        if isinstance(event, AliasEvent):
            if node not in self._whole:
                raise _refused(event, f"`*{event.anchor}` is a part of what it stands for")
            values, levels = self._whole[node]
            self._values += values
            self._require_depth(event, levels)
        else:
            self._values += 1
            levels = self._below + 1
            self._whole[node] = (self._values - values_before, levels)
        if self._values > MOST_VALUES:
            raise _refused(event, f"more than {MOST_VALUES:,} values, aliases written out")
        self._below = max(below_before, levels)
        return node

    def _require_depth(self, event: Any, levels: int) -> None:
        if self.depth + levels > DEEPEST:
            raise _refused(event, f"deeper than {DEEPEST} levels, aliases written out")


def _refused(event: Any, problem: str) -> _OutOfBoundsError:
    return _OutOfBoundsError(None, None, problem, event.start_mark)


class _Constructor(SafeConstructor):
    """Says where a value stands that cannot be one: `!!int x`, 2026-13-45."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """As ruamel's; raise `ConstructorError` alone."""
        try:
            return super().construct_object(node, deep)
        except MarkedYAMLError:
            raise
        except Exception as error:
            kind = str(node.tag).rpartition(":")[2]
            shown = f"{node.value!r:.40} is " if isinstance(node, ScalarNode) else ""
            raise ConstructorError(
                None, None, f"{shown}no {kind} ({_one_line(error)})", node.start_mark
            ) from None

    def construct_yaml_int(self, node: Any) -> int:
        """As ruamel's, of as many digits as anybody writes."""
        if len(node.value) > _MOST_DIGITS:
            raise ValueError(f"{len(node.value):,} characters; at most {_MOST_DIGITS}")
        return int(super().construct_yaml_int(node))

    def construct_yaml_str(self, node: Any) -> str:
        """As ruamel's, of what can be written down again."""
        text = str(super().construct_yaml_str(node))
        text.encode()  # raises for halves of surrogate pairs
        return text

    def construct_undefined(self, node: Any) -> None:
        """Refuse a tag that is none of YAML's own."""
        raise ConstructorError(
            None, None, f"unknown tag `{node.tag!s:.60}`; values need none", node.start_mark
        )


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)
_Constructor.add_constructor("tag:yaml.org,2002:str", _Constructor.construct_yaml_str)
_Constructor.add_constructor(None, _Constructor.construct_undefined)


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
    twice = _TWICE.match(error.problem or "")
    if twice:
        return f"{_place(error)}: the key `{_one_line(twice[1])}` is there twice"
    return f"not YAML ({_place(error)}: {_one_line(error.problem or error)})"


def _place(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}" if mark is not None else "somewhere"


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:_LONGEST]
