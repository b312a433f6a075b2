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
    """When new pictures in a group's folder are enough to train on: the lower of both bounds.

    Attributes:
        pictures: So many new ones.
        share: Or so many of those that were there, as a share.
    """

    pictures: Count = 100
    share: Fraction = 0.05

    def enough(self, known: int) -> int:
        """How many new pictures are enough, beside those that were read before."""
        return max(1, min(self.pictures, round(self.share * known)))


class RetrainingRules(Section):
    """When a group is trained anew, and how long it may take.

    Attributes:
        cron: When its schedule ticks: minute, hour, day of the month, month, day of the week.
        time_zone: Of those.
        retrain: `always`, or `when_changed`: not while the training pictures are those that the
            last finished candidate saw.
        max_hours: After which a run is stopped. What was trained by then is saved.
        retries: Of a run whose process died.
        fresh_days: With `retrain: always`, the age of published networks that the UI calls fresh.
        inbox: For groups whose pictures come from a folder.
    """

    cron: Cron = "0 3 * * 0"
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    retrain: Literal["always", "when_changed"] = "always"
    max_hours: Count = 24
    retries: Retries = 2
    fresh_days: Count = 15
    inbox: Inbox = Inbox()


class Retraining(RetrainingRules):
    """The rules for every group that trains a generator.

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
        """The rules of one group."""
        return self.groups.get(group, self)


class Retention(Section):
    """What `dcgan gc` removes, by the days since it was last at work.

    Attributes:
        run_days: Of Dagster's records of runs.
        log_days: Of what runs printed.
        work_days: Of folders in which a training worked.
    """

    run_days: Count = 180
    log_days: Count = 30
    work_days: Count = 30
