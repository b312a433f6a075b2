"""Steps: what an asset is made from and how, and by which checks it is judged; declarations alone.

A step is a plain function from inputs to a folder, with its name, its section of params.yaml and
its checks. What happens around it is the same for all: require the inputs and skip when nothing
changed (fingerprint.py), build beside the place, judge the checks, publish or fail (making.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcgan_assets.engine.store import Kind

# The pool of steps that may ask the web: one at a time.
WEB = "web"


@dataclass(frozen=True)
class Check:
    """A property that an asset is held to.

    Attributes:
        required: Whether a failure keeps the asset from being published.
    """

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a check came out, with the numbers that it looked at."""

    check: str
    passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a step's function returns.

    Attributes:
        metadata: What the UI shows: plain values or Dagster's metadata values.
        verdicts: One for each of the step's checks.
        summary: What came out, in a few words for the terminal: what was kept and rejected, what
            was decided and why.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Step:
    """One execution in the asset graph: a function and the asset or assets that it makes.

    Attributes:
        outputs: Keys of the assets; more than one where they can only be made together.
        inputs: Keys of the assets that it reads.
        if_there: Keys of assets that it also reads where they are there. They are not made for its
            sake and none of them is missed; it is made anew when one comes, goes or changes.
        section: Dotted path of its section in params.yaml.
        description: Markdown; names the paper's section or figure.
        checks: Declared on the first output.
        pool: Dagster pool that limits how many run at once.
        seeded: Whether chance enters; the Launchpad then takes a seed.
        transient: Whether the asset is only a way to the next one and is not kept under DVC.
        kept: Whether what is published stands when its inputs change: it is made anew only when
            its code or its section does, or by force. So that what is measured with it stays
            comparable.
        optional: Whether it is made only when it is named: not part of the demo, nor of dvc.yaml.
        shards: Names of the partitions, from the section; None for an asset in one piece.
        source_version: Version of what the step (or a shard of it) reads from outside the graph,
            from its section, the root and the shard.
        pictures: Which asset of the group holds the pixels that it reads, if it reads any.
        files: Files and folders that it reads beside its inputs, from its section and the root;
            as the section names them. For DVC to watch.
        shows: Its files that are worth a look with `dvc plots`: pictures, `result.json` (of
            which `dvc metrics` takes the headline), losses by epoch.
        passes_on: For `data`, whether it may be given to others: a table that holds no pictures.
        shows_pictures: For `results`, whether pictures that it was made from can be seen in it.
    """

    outputs: tuple[str, ...]
    kind: Kind
    compute: Callable[..., Outcome]
    description: str
    section: str
    inputs: tuple[str, ...] = ()
    if_there: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    kinds: frozenset[str] = frozenset()
    pool: str | None = None
    seeded: bool = False
    transient: bool = False
    kept: bool = False
    optional: bool = False
    shards: Callable[[Any], tuple[str, ...]] | None = None
    source_version: Callable[[Any, Path, str | None], str] | None = None
    pictures: str = "images"
    files: Callable[[Any, Path], tuple[str, ...]] | None = None
    shows: tuple[str, ...] = ()
    passes_on: bool = False
    shows_pictures: bool = False

    @property
    def key(self) -> str:
        """The first output: the name under which a step is spoken of."""
        return self.outputs[0]

    @property
    def op_name(self) -> str:
        """Under which Dagster runs it."""
        return self.key.replace("/", "__")

    @property
    def group(self) -> str:
        """The first half of the key."""
        return self.key.split("/")[0]

    @property
    def has_stage(self) -> bool:
        """Whether it has a stage in dvc.yaml: what is transient is part of another's."""
        return not (self.transient or self.optional)


# Makes a step of one group from its name and facts; `groups.step_maker` gives it.
StepMaker = Callable[..., Step]


def named_source(section: Any, root: Path) -> tuple[str, ...]:
    """`Step.files` of a step that reads the `path` of its section, where it has one."""
    return (section.path,) if section.path is not None else ()


def where_there(root: Path, name: str | Path) -> tuple[str, ...]:
    """`Step.files` of a step that does without a file where it is absent."""
    return (str(name),) if (root / name).is_file() else ()


def step_maker(group: str, section: str, **common: Any) -> StepMaker:
    """What makes a group's steps from names that lack the group.

    Args:
        group: First half of every key.
        section: Where the group stands in params.yaml.
        common: Facts of all its steps.
    """

    def step(name: str | tuple[str, ...], **facts: Any) -> Step:
        names = (name,) if isinstance(name, str) else name
        outputs = tuple(f"{group}/{one}" for one in names)
        inputs = tuple(f"{group}/{one}" for one in facts.pop("inputs", ()))
        own = facts.pop("section", names[0])
        facts = {**common, **facts}
        return Step(outputs=outputs, inputs=inputs, section=f"{section}.{own}", **facts)

    return step
