"""The pages of docs/reference, written from the code that they speak of.

`python -m docs.writers` writes them all; a test fails when one is behind.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import click

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.cli import main
from dcgan_assets.cli.presets import list_presets, show_preset
from dcgan_assets.engine.results import Result, Row
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PARAMS_FILE, profile_text
from dcgan_models.presets import PRESETS
from docs.writers.markdown import table
from docs.writers.models import about, fields_table
from docs.writers.params import params_page, profiles_page

FOLDER = Path("docs/reference")

_PRESETS = """\
# Presets

The networks, from `dcgan presets`. A row of a table: operation, kernel and stride, what comes out,
whether batch norm follows, activation. `dcgan presets A B` prints how two differ, and why; the
reasons are in [deviations](../deviations.md) as well.
"""
_CLI = """\
# The command line

`dcgan --root DIR COMMAND` works in another workspace than the one that you are in; so does
`DCGAN_ROOT`. Exit codes: 0 done, 1 something that you can mend (one line says what), 2 a call that
is not understood, 130 interrupted.

`--json` of `status`, `doctor` and `materialize --dry-run` writes one JSON document and nothing
else; an error stays one line on the standard error. `--quiet` of `materialize` and `report` says
only what went wrong. `dcgan --help` says how a shell completes commands and options.
"""
_ASSETS = """\
# Asset catalogue

The assets of the `sample` profile, in the order in which a group is made. A group of your own has
those of `lsun` without the deduplication. Figures 5 to 8, judges, claims, ablations and the page to
explore are there for every group that has their section in params.yaml.

*Shards* are made one by one, each a partition where there are several. *Kept* is made anew only
for other code or settings. *On the way* is not stored by DVC. *By name* is made only when it is
named.
"""
_RESULTS = """\
# result.json

Every asset that measures something leaves a `result.json` in its folder, `results/GROUP/ASSET/`.
There is one form.
"""
_PAPER = re.compile(
    r"(?:Figures?|Tables?|[Ss]ections?) \d+(?:\.\d+)*(?:(?:, | and | to )\d+(?:\.\d+)*)*"
    r"(?: of (?:v2|the second version))?"
)


def presets_page() -> str:
    """The text of docs/reference/presets.md."""
    parts = [f"## {name}\n\n```\n{show_preset(name)}\n```\n" for name in PRESETS]
    return "\n".join([_PRESETS, f"```\n{list_presets()}\n```\n", *parts])


# --- The command line -----------------------------------------------------------------------


def cli_page() -> str:
    """The text of docs/reference/cli.md."""
    return "\n".join([_CLI, *(_command(name) for name in main.commands)])


def _command(name: str) -> str:
    command = main.commands[name]
    # Click keeps the help option of the first context, so it must be as a call would have it.
    parent = click.Context(main, info_name="dcgan", **main.context_settings)
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    options = [
        [f"`{', '.join(option.opts)}`", _values(option, context), option.help or ""]
        for option in command.params
        if isinstance(option, click.Option)
    ]
    rows = f"\n{table(('option', 'value', 'meaning'), options)}" if options else ""
    return (
        f"## dcgan {name}\n\n```\ndcgan {name} {usage}\n```\n\n"
        f"{inspect.cleandoc(command.help or '')}\n{rows}"
    )


def _values(option: click.Option, context: click.Context) -> str:
    """What an option takes, and its default."""
    if option.is_flag:
        return ""
    kind = option.type
    default = option.get_default(context)
    said = [option.metavar or kind.name.removesuffix(" range")]
    if isinstance(kind, click.IntRange):
        most = "2^63 - 1" if kind.max == 2**63 - 1 else kind.max
        said = [f"whole number from {kind.min} to {most}"]
    if option.show_default and default is not None:
        said.append(f"default {default}")
    return ", ".join(said)


# --- Assets ---------------------------------------------------------------------------------


def assets_page() -> str:
    """The text of docs/reference/assets.md: the graph of the `sample` profile."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PARAMS_FILE).write_text(profile_text("sample"), encoding="utf-8")
        steps = open_catalogue(Workspace(Path(folder))).steps
    groups = groupby(steps, key=lambda step: step.group)
    return "\n".join([_ASSETS, *(_group(name, list(members)) for name, members in groups)])


def _group(name: str, steps: list[Step]) -> str:
    rows = [
        [
            ", ".join(f"`{key}`" for key in step.outputs),
            ", ".join(f"`{key}`" for key in step.inputs),
            f"`{step.section}`",
            ", ".join(paper_references(step.description)),
            " ".join([*_traits(step), step.description]),
        ]
        for step in steps
    ]
    checks = [
        [f"`{step.key}`", f"`{check.name}`", "yes" if check.required else "", check.description]
        for step in steps
        for check in step.checks
    ]
    heads = ("asset", "from", "section", "in the paper", "what it is")
    parts = [f"## {name}\n\n{table(heads, rows)}"]
    if checks:
        heads_of_checks = ("asset", "check", "keeps it from being published", "what it asks")
        parts.append(table(heads_of_checks, checks))
    return "\n".join(parts)


def _traits(step: Step) -> Iterator[str]:
    if step.shards:
        yield "*Shards.*"
    if step.kept:
        yield "*Kept.*"
    if step.transient:
        yield "*On the way.*"
    if step.optional:
        yield "*By name.*"


def paper_references(description: str) -> list[str]:
    """What of the paper a description names: figures, tables, sections, each once."""
    found = (match[0][0].upper() + match[0][1:] for match in _PAPER.finditer(description))
    return list(dict.fromkeys(found))


# --- Results --------------------------------------------------------------------------------


def results_page() -> str:
    """The text of docs/reference/results.md."""
    return "\n".join([_RESULTS, _form("Result", Result), _form("Row", Row)])


def _form(title: str, model: type[Result | Row]) -> str:
    return f"## {title}\n\n{about(model)}\n\n{fields_table(model)}"


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "presets.md": presets_page,
        "params.md": params_page,
        "profiles.md": profiles_page,
        "cli.md": cli_page,
        "assets.md": assets_page,
        "results.md": results_page,
    }
)
