"""Publishing a candidate, or keeping the champion: for any group."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcgan_assets import metadata as shown
from dcgan_assets.assets.candidate import fixed_samples
from dcgan_assets.steps import Outcome, Work
from dcgan_models.errors import UserError


def publish_champion(
    work: Work, candidate: str, error_of: Callable[[Path], float] | None = None
) -> Outcome:
    """Publish the candidate's networks, or keep what is published, and say why.

    An unhealthy candidate is never published. A healthy one wins where nothing is published yet,
    where nothing measures the two, or when its error is not above the champion's.

    Args:
        error_of: Measures the generator in a folder on validation pictures; lower is better.

    Raises:
        UserError: The candidate is unhealthy and there is no champion to keep.
    """
    failed = [check["check"] for check in work.input_meta(candidate).checks if not check["passed"]]
    champion = work.published(work.step.key)
    if failed and champion is None:
        raise UserError(
            f"{work.step.key}: the candidate is unhealthy ({', '.join(failed)}) and nothing is "
            f"published yet; look at {candidate}, then change params.yaml or the seed"
        )
    facts: dict[str, Any] = {}
    wins = not failed
    reason = f"candidate failed {', '.join(failed)}" if failed else "a healthy candidate"
    if wins and error_of is not None:
        error = facts["validation_error"] = error_of(work.input(candidate) / "generator")
        if champion is not None:
            standing = facts["champion_validation_error"] = error_of(champion)
            wins = error <= standing
            reason = f"validation error {error:.4f} against the champion's {standing:.4f}"
    if wins:
        for key in work.step.outputs:
            role = "discriminator" if key.endswith("discriminator") else "generator"
            shutil.copytree(work.input(candidate) / role, work.out(key), dirs_exist_ok=True)
    else:
        work.keep_published()
    return Outcome(
        metadata={
            "decision": "published the candidate" if wins else "kept the champion",
            "reason": reason,
            "samples": shown.picture(fixed_samples(work.out()), "samples of the fixed latents"),
            **facts,
        }
    )
