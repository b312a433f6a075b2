"""What is told when a run fails: a line in a file, and messages where the user names addresses.

An address is a secret: it comes from the environment alone and is written nowhere.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.sources.ip_addresses import is_loopback
from dcgan_models.errors import UserError
from dcgan_models.extras import from_extra

WEBHOOK_VARIABLE = "DCGAN_ALERT_WEBHOOK"
APPRISE_VARIABLE = "DCGAN_ALERT_APPRISE"
ALERT_FILE = "alerts.log"
_WORDS = 500
_SECONDS = 5.0
# They log the addresses that they post to, at DEBUG or where it fails.
_TALKATIVE = ("apprise", "urllib3.connectionpool")


def failure_sensor(catalogue: Catalogue) -> Any:
    """The sensor that tells of failed runs. It is on: without an address it writes a file alone."""
    path = catalogue.workspace.dagster_home / ALERT_FILE

    @dg.run_failure_sensor(
        name="alerts",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells of failed runs: {ALERT_FILE}, {WEBHOOK_VARIABLE}, {APPRISE_VARIABLE}.",
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
    """Append a line to the file of alerts and send it to all addresses of the environment.

    Returns:
        What went wrong on the way, in one line without an address; None if nothing did.
    """
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")
    ways = {WEBHOOK_VARIABLE: post, APPRISE_VARIABLE: notify}
    with _unlogged():
        named = ((send, os.environ.get(name)) for name, send in ways.items())
        troubles = [send(secret, line) for send, secret in named if secret]
    return "; ".join(trouble for trouble in troubles if trouble) or None


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep those silent that would log addresses, whatever level the user asks for."""

    def silence(record: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    for logger in loggers:
        logger.addFilter(silence)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(silence)


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
    return parts.scheme == "http" and is_loopback(host)


def notify(addresses: str, line: str) -> str | None:
    """Send a line to services that Apprise knows: mail, Teams, Slack and a hundred others.

    Redirects are not followed, and nothing is kept on disk.

    Args:
        addresses: Of Apprise's own form, such as `mailtos://USER:PASSWORD@HOST`; white space
            between them.

    Returns:
        What went wrong, in one line that counts addresses and shows none; None if nothing did.
    """
    try:
        apprise = from_extra("apprise", APPRISE_VARIABLE, "apprise")
    except UserError as error:
        return str(error)
    asset = apprise.AppriseAsset(app_id="dcgan", storage_mode="memory", http_redirects=False)
    named = addresses.split()
    troubles = [
        f"address {number} of {len(named)} {trouble}"
        for number, address in enumerate(named, 1)
        if (trouble := _sent(apprise.Apprise(asset=asset), address, line))
    ]
    return f"{APPRISE_VARIABLE}: {'; '.join(troubles)}" if troubles else None


def _sent(apprise: Any, address: str, line: str) -> str | None:
    """What went wrong with one address of Apprise's."""
    try:
        service = apprise.instantiate(address, asset=apprise.asset)
        if service is None:
            return "is none that Apprise can use"
        if not _is_closed(service):
            return "is not used; allowed are encrypted services, and others on this machine"
        apprise.add(service)
        delivered = bool(apprise.notify(body=line, body_format="text"))
    except Exception as error:  # of any of its services, with a text that may hold the address
        return f"was not reached ({type(error).__name__})"
    return None if delivered else "was not reached, or refused it"


def _is_closed(service: Any) -> bool:
    """Whether nobody on the way can read what one of Apprise's services is sent."""
    encrypted = service.secure_protocol or ()
    schemes = (encrypted,) if isinstance(encrypted, str) else tuple(encrypted)
    scheme = service.url().partition("://")[0]
    return service.secure or scheme in schemes or is_loopback((service.host or "").strip("[]"))
