"""What is told of a failed run: the file, the webhook, and never the webhook's address."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from small_graph import SmallGraph

from dcgan_assets.automation import alerts
from dcgan_assets.automation.alerts import (
    ALERT_FILE,
    APPRISE_VARIABLE,
    WEBHOOK_VARIABLE,
    notify,
    post,
    tell,
)
from dcgan_assets.definitions import build_definitions

SECRET = "T0K3N-of-the-webhook"  # noqa: S105


class Webhook:
    """A server on loopback that keeps what it is sent, and answers as it is told."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/hooks/{SECRET}"
        self.of_apprise = f"json://127.0.0.1:{port}/hooks/{SECRET}"
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.answered = threading.Event()
        self.answered.set()


@contextmanager
def serving() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            webhook.bodies.append((self.path, json.loads(self.rfile.read(length))))
            webhook.headers.append(dict(self.headers))
            webhook.answered.wait(30)
            self.send_response(webhook.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook = Webhook(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield webhook
    finally:
        webhook.answered.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as webhook:
        yield webhook


# --- A failed run -----------------------------------------------------------------------------


def test_a_failed_run_is_told_of_once_and_in_one_line(
    small: SmallGraph,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, webhook.address)
    monkeypatch.setenv(APPRISE_VARIABLE, webhook.of_apprise)
    (small.root / "fail-01").touch()
    definitions = build_definitions(small.only("images").catalogue())
    sensor = definitions.get_repository_def().get_sensor_def("alerts")
    with small.instance() as instance, caplog.at_level(logging.DEBUG):
        failed = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["toy", "images"])],
            partition_key="01",
            raise_on_error=False,
        )
        (event,) = [event for event in failed.all_events if event.is_job_failure]
        context = dg.build_run_status_sensor_context(
            sensor_name="alerts",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=failed.dagster_run,
        ).for_run_failure()
        sensor(context)
    line = f"run {failed.run_id[:8]} failed: toy/images[01]: shard 01 is told to fail"
    (plain, of_apprise) = webhook.bodies
    assert plain == (f"/hooks/{SECRET}", {"text": line})
    assert (of_apprise[0], of_apprise[1]["message"]) == (f"/hooks/{SECRET}", line)
    (written,) = (small.root / ".dagster_home" / ALERT_FILE).read_text("utf-8").splitlines()
    assert written.split(" ", 1)[1] == line
    assert SECRET not in written
    # Neither events nor captured output, run configuration nor any other record holds it.
    files = [path for path in small.root.rglob("*") if path.is_file()]
    assert {"runs.db", f"{failed.run_id}.db"} <= {path.name for path in files}
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert not any(SECRET in record.getMessage() for record in caplog.records)


def test_the_sensor_is_on(small: SmallGraph) -> None:
    definitions = build_definitions(small.only("constant").catalogue())
    sensor = definitions.get_repository_def().get_sensor_def("alerts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


# --- Webhooks that are no good ----------------------------------------------------------------


def test_without_a_webhook_there_is_the_file(tmp_path: Path) -> None:
    assert tell(tmp_path / "log", "one") is None
    assert tell(tmp_path / "log", "two") is None
    lines = (tmp_path / "log").read_text("utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["one", "two"]


def test_a_dead_webhook_is_one_line_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as gone:
        pass
    monkeypatch.setenv(WEBHOOK_VARIABLE, gone.address)
    words = tell(tmp_path / "log", "one")
    assert words == f"{WEBHOOK_VARIABLE}: the webhook was not reached (ConnectionError)"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_a_webhook_answers_is_said(webhook: Webhook, status: int) -> None:
    webhook.status = status
    assert post(webhook.address, "x") == f"{WEBHOOK_VARIABLE}: the webhook answered {status}"
    assert len(webhook.bodies) == 1, "redirects are not followed"


def test_a_webhook_that_hangs_is_left(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "_SECONDS", 0.2)
    webhook.answered.clear()
    words = post(webhook.address, "x")
    assert words == f"{WEBHOOK_VARIABLE}: the webhook was not reached (ReadTimeout)"


def test_stored_passwords_and_proxies_are_not_used(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n", "utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert post(webhook.address, "x") is None
    assert "Authorization" not in webhook.headers[0]


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/hook",
        "http://127.0.0.1.example.org/hook",
        "http://10.0.0.1/hook",
        "ftp://127.0.0.1/hook",
        "file:///etc/passwd",
        "https://",
        "http://[::1",
        "hook",
    ],
)
def test_other_addresses_are_refused_unasked(address: str) -> None:
    words = post(address, "x")
    assert words == f"{WEBHOOK_VARIABLE}: not used; allowed are https, and http on this machine"


# --- Apprise ----------------------------------------------------------------------------------


def test_each_service_is_told_and_those_that_are_not_are_counted(
    webhook: Webhook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as gone:
        pass
    addresses = f"{webhook.of_apprise} nothing://{SECRET} {gone.of_apprise}\n{webhook.of_apprise}"
    monkeypatch.setenv(APPRISE_VARIABLE, addresses)
    with caplog.at_level(logging.DEBUG):
        words = tell(Path("log"), "<b>*one* {two}</b>")
    assert words == (
        f"{APPRISE_VARIABLE}: address 2 of 4 is none that Apprise can use; "
        "address 3 of 4 was not reached, or refused it"
    )
    assert [body["message"] for _, body in webhook.bodies] == ["<b>*one* {two}</b>"] * 2
    assert not any(SECRET in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_a_service_refuses_is_said(webhook: Webhook, status: int) -> None:
    webhook.status = status
    words = notify(webhook.of_apprise, "x")
    assert words == f"{APPRISE_VARIABLE}: address 1 of 1 was not reached, or refused it"
    assert len(webhook.bodies) == 1, "redirects are not followed"


@pytest.mark.parametrize(
    "address",
    [
        "json://10.0.0.1/hook",
        "json://example.org/hook",
        "mailto://user:password@example.org",
        "rsyslog://10.0.0.1",
        "ntfy://example.org/topic",
    ],
)
def test_services_in_the_clear_are_refused_unasked(address: str) -> None:
    assert notify(address, "x") == (
        f"{APPRISE_VARIABLE}: address 1 of 1 is not used; allowed are encrypted services, and "
        "others on this machine"
    )


@pytest.mark.parametrize(
    "address",
    [
        "jsons://10.0.0.1/hook",
        "mailtos://user:password@example.org",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "json://[::1]:9/hook",
    ],
)
def test_services_that_are_encrypted_or_of_this_machine_are_allowed(address: str) -> None:
    import apprise

    assert alerts._is_closed(apprise.Apprise.instantiate(address))


def test_an_error_of_a_service_shows_no_address(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    def fail(address: str, **_: Any) -> None:
        raise ValueError(address)

    monkeypatch.setattr(apprise.Apprise, "instantiate", staticmethod(fail))
    words = notify(webhook.of_apprise, "x")
    assert words == f"{APPRISE_VARIABLE}: address 1 of 1 was not reached (ValueError)"


def test_without_the_extra_it_is_named(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setenv(APPRISE_VARIABLE, webhook.of_apprise)
    assert tell(tmp_path / "log", "one") == (
        f"{APPRISE_VARIABLE} needs apprise, which is not installed: "
        "pip install 'dcgan-assets[apprise]'"
    )
    assert (tmp_path / "log").read_text("utf-8").endswith(" one\n")
