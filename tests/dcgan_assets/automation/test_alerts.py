"""What is told of a failed run: the file, the webhook, and never the webhook's address."""

from __future__ import annotations

import json
import logging
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
from dcgan_assets.automation.alerts import ALERT_FILE, WEBHOOK_VARIABLE, post, tell
from dcgan_assets.definitions import build_definitions

SECRET = "T0K3N-of-the-webhook"  # noqa: S105


class Webhook:
    """A server on loopback that keeps what it is sent, and answers as it is told."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/hooks/{SECRET}"
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
    assert webhook.bodies == [(f"/hooks/{SECRET}", {"text": line})]
    (written,) = (small.root / ".dagster_home" / ALERT_FILE).read_text("utf-8").splitlines()
    assert written.split(" ", 1)[1] == line
    assert SECRET not in written
    # Neither events nor captured output, run configuration nor any other record holds it.
    files = [path for path in small.root.rglob("*") if path.is_file()]
    assert {"runs.db", f"{failed.run_id}.db"} <= {path.name for path in files}
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    ours = [record for record in caplog.records if "urllib3" not in record.name]
    assert not any(SECRET in record.getMessage() for record in ours)


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
