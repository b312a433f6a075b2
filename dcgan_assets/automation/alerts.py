"""What is told when a run fails: a line in a file, and a message to a webhook if there is one.

The address of the webhook is a secret: it comes from the environment alone and is written nowhere.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue

WEBHOOK_VARIABLE = "DCGAN_ALERT_WEBHOOK"
ALERT_FILE = "alerts.log"
_WORDS = 500
_SECONDS = 5.0


def failure_sensor(catalogue: Catalogue) -> Any:
    """The sensor that tells of failed runs. It is on: without a webhook it writes a file alone."""
    path = catalogue.workspace.dagster_home / ALERT_FILE

    @dg.run_failure_sensor(
        name="alerts",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells of failed runs: {ALERT_FILE}, and the webhook of {WEBHOOK_VARIABLE}.",
    )
    def alerts(context: dg.RunFailureSensorContext) -> None:
        trouble = tell(path, failure_line(context))
        if trouble:
            context.log.warning(trouble)

    return alerts


def failure_line(context: dg.RunFailureSensorContext) -> str:
    """What failed and why, as one line."""
    run = context.dagster_run
    keys = sorted(key.to_user_string() for key in run.asset_selection or ())
    what = ", ".join(keys) or run.job_name
    partition = run.tags.get("dagster/partition")
    what = f"{what}[{partition}]" if partition else what
    causes = [_cause(event) for event in context.get_step_failure_events()]
    cause = "; ".join(causes) or context.failure_event.message or "no reason was given"
    ending = "; it is tried again" if run.tags.get("dagster/will_retry") == "true" else ""
    line = f"run {run.run_id[:8]} failed: {what}: {cause}"
    return " ".join(line.split())[:_WORDS] + ending


def _cause(event: dg.DagsterEvent) -> str:
    """The message of the error at the bottom, or of what the user can mend."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message if error is not None else "no reason was given"


def tell(path: Path, line: str) -> str | None:
    """Append a line to the file of alerts and post it.

    Returns:
        What went wrong on the way, in one line without the address; None if nothing did.
    """
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")
    address = os.environ.get(WEBHOOK_VARIABLE)
    return post(address, line) if address else None


def post(address: str, line: str) -> str | None:
    """Send a line to a webhook as `{"text": line}`, which Slack, Mattermost and others take.

    Redirects are not followed, proxies and stored passwords not used, answers not read.

    Returns:
        What went wrong, in one line without the address; None if nothing did.
    """
    import requests

    if not _is_allowed(address):
        return f"{WEBHOOK_VARIABLE}: not used; allowed are https, and http on this machine"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.post(
                address,
                json={"text": line},
                timeout=_SECONDS,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:  # its text holds the address
            return f"{WEBHOOK_VARIABLE}: the webhook was not reached ({type(error).__name__})"
        answer.close()
    if not answer.ok or answer.is_redirect:
        return f"{WEBHOOK_VARIABLE}: the webhook answered {answer.status_code}"
    return None


def _is_allowed(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
