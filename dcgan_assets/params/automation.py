"""Sections of params.yaml that say when networks are trained anew, and what is kept of old runs.

None of it is in a code version: it decides when something is made, not what.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from dcgan_assets.params.base import Count, Fraction, Section

# The shape alone; Dagster judges the numbers.
_FIELD = r"[0-9A-Za-z*,/\-]+"
Cron = Annotated[str, Field(pattern=rf"^{_FIELD}( {_FIELD}){{4}}$")]
Retries = Annotated[int, Field(ge=0, le=10, strict=True)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}; allowed: names as Europe/Vienna") from None
    return name


class Inbox(Section):
    """How many new pictures in a group's folder start a training: the lower of two bounds.

    Attributes:
        pictures: So many new ones are enough.
        share: And so are as many as this share of those that were read before.
    """

    pictures: Count = 100
    share: Fraction = 0.05

    def enough(self, known: int) -> int:
        """How many new pictures start a training where so many were read before."""
        return max(1, min(self.pictures, round(self.share * known)))


class RetrainingRules(Section):
    """When the networks of a group are trained anew, and how long a run may take.

    Attributes:
        cron: When its schedule ticks: minute, hour, day of the month, month, day of the week.
        time_zone: Zone of those times, such as Europe/Vienna.
        retrain: `always`, or `when_changed`: not while the training pictures are those that the
            last finished candidate saw.
        max_hours: A run is stopped after so many; what was trained by then is saved.
        retries: How often a run is started again when its process died.
        fresh_days: With `retrain: always`, the age of published networks that the UI calls fresh.
        inbox: When new pictures in a group's folder start a training.
    """

    cron: Cron = "0 3 * * 0"
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    retrain: Literal["always", "when_changed"] = "always"
    max_hours: Count = 24
    retries: Retries = 2
    fresh_days: Count = 15
    inbox: Inbox = Inbox()


class Retraining(RetrainingRules):
    """The retraining rules of every group that trains a generator.

    Attributes:
        groups: Other rules of single groups; what they do not say is as above.
    """

    groups: dict[str, RetrainingRules] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _filled_from_above(cls, content: Any) -> Any:
        if not isinstance(content, dict) or not isinstance(content.get("groups"), dict):
            return content
        shared = {name: value for name, value in content.items() if name != "groups"}
        groups = {
            name: {**shared, **own} if isinstance(own, dict) else own
            for name, own in content["groups"].items()
        }
        return {**content, "groups": groups}

    def of(self, group: str) -> RetrainingRules:
        """The rules of one group: its own where it has any, else everybody's."""
        return self.groups.get(group, self)


class Retention(Section):
    """How long `dcgan gc` keeps what is no longer used, in days, and how many publications.

    Attributes:
        run_days: For how long Dagster's records of runs are kept.
        log_days: For how long what runs printed is kept.
        work_days: For how long folders in which a training worked are kept.
        publications: Of how many of a group's published networks the files are kept, so that
            `dcgan rollback` brings them back.
    """

    run_days: Count = 180
    log_days: Count = 30
    work_days: Count = 30
    publications: Count = 10
