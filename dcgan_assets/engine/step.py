"""Steps: what an asset is made from and how, and by which checks it is judged; declarations alone.

A step is a plain function from inputs to a folder, with its name, its section of params.yaml and
its checks. What happens around it is the same for all: require the inputs and skip when nothing
changed (fingerprint.py), build beside the place, judge the checks, publish or fail (making.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_assets.engine.store import Kind

if TYPE_CHECKING:
    from dcgan_assets.params.file import Params

# The pools: of steps that search the web, of those that fetch from it and take turns at each site,
# and of those that train, or compute as long.
WEB = "web"
PHOTOS = "photos"
GPU = "gpu"


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
        figures: What each picture in the folder shows, by its file, in the order of the page.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    summary: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)


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
        derived: Whether it is made in seconds of what is kept, so that no remote holds it.
        optional: Whether it is made only when it is named: not part of the demo, nor of dvc.yaml.
        shards: Names of the partitions; None for an asset in one piece.
        source_version: Version of what the step (or a shard of it) reads from outside the graph.
        pictures: Which asset of the group holds the pixels that it reads, if it reads any.
        files: Files and folders that it reads beside its inputs, as its section names them. For
            DVC to watch.
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
    derived: bool = False
    optional: bool = False
    shards: Callable[[Reading], tuple[str, ...]] | None = None
    source_version: Callable[[Reading], str] | None = None
    pictures: str = "images"
    files: Callable[[Reading], tuple[str, ...]] | None = None
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
    def trains(self) -> bool:
        """Whether it trains a candidate: what is measured before it is published."""
        return self.transient and self.seeded

    @property
    def has_stage(self) -> bool:
        """Whether it has a stage in dvc.yaml: what is transient is part of another's."""
        return not (self.transient or self.optional)


@dataclass(frozen=True)
class Reading:
    """A step in a workspace: what it is given to say which shards it has, and what it reads there.

    Attributes:
        section: The step's part of params.yaml.
        root: Of the workspace.
        shard: Which one is asked for; None for the step as a whole.
    """

    step: Step
    section: Any
    params: Params
    root: Path
    shard: str | None = None

    @property
    def around(self) -> Any:
        """The section that holds the step's own: its group, or the search that it is part of."""
        return self.params.section(self.step.section.rpartition(".")[0])


@dataclass(frozen=True)
class StepMaker:
    """Makes the steps of one group from names that lack the group.

    Attributes:
        group: First half of every key.
        section: Dotted path of the section of params.yaml that holds those of the steps.
        pictures: Which asset of the group holds the pixels that its steps read.
    """

    group: str
    section: str
    pictures: str = "images"

    def __call__(self, name: str | tuple[str, ...], **facts: Any) -> Step:
        """A step that makes the asset `name`, or several at once.

        Args:
            name: Without the group.
            facts: Of the step. An input of another group is a whole key. `section` is the last
                part of the path, where it is not the name.
        """
        names = (name,) if isinstance(name, str) else name
        return Step(
            outputs=tuple(f"{self.group}/{one}" for one in names),
            inputs=tuple(
                one if "/" in one else f"{self.group}/{one}" for one in facts.pop("inputs", ())
            ),
            section=f"{self.section}.{facts.pop('section', names[0])}",
            pictures=self.pictures,
            **facts,
        )


def named(*paths: str | None) -> tuple[str, ...]:
    """Of the paths that a section may name, those that it does."""
    return tuple(path for path in paths if path is not None)


def named_source(reading: Reading) -> tuple[str, ...]:
    """`Step.files` of a step that reads the `path` of its section, where it has one."""
    return named(reading.section.path)


def where_there(reading: Reading, name: str | Path) -> tuple[str, ...]:
    """`Step.files` of a step that does without a file where it is absent."""
    return (str(name),) if (reading.root / name).is_file() else ()
