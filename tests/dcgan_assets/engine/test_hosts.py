"""What a host looks at before it trains together with others: real addresses, sockets and files."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from small_graph import SmallGraph

from dcgan_assets.engine import hosts
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_models.errors import UserError
from dcgan_models.files import write_json

KEY = "toy/candidate"


@pytest.fixture
def waiting() -> Iterator[int]:
    """The port of 127.0.0.2 at which somebody listens."""
    with socket.create_server(("127.0.0.2", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def catalogue(small: SmallGraph) -> Catalogue:
    small.change(machine={"hosts": 2, "join_seconds": 1})
    return small.catalogue()


def invite(catalogue: Catalogue, port: int, **changes: object) -> Path:
    """The folder of a training that waits for a host."""
    folder = catalogue.workspace.root / "runs" / "toy" / "0123456789ab"
    folder.mkdir(parents=True)
    invitation = hosts.Invitation(
        asset=KEY,
        run="a-run",
        root=str(catalogue.workspace.root),
        address="127.0.0.2",
        port=port,
        hosts=2,
        processes=1,
        threads=1,
        code_version=catalogue.code_version(catalogue.by_key[KEY]),
        torch=str(torch.__version__),
    )
    write_json(folder / "invitation.json", asdict(replace(invitation, **changes)))  # type: ignore[arg-type]
    return folder


# --- This host's address --------------------------------------------------------------------


def test_a_host_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_ADDRESS", "nowhere.invalid")
    with pytest.raises(UserError, match=r"'nowhere\.invalid' does not resolve; set DCGAN_ADDRESS"):
        hosts.own_address()


def test_a_host_name_of_the_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Debian's installer writes it into /etc/hosts: 127.0.1.1."""
    monkeypatch.delenv("DCGAN_ADDRESS", raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    with pytest.raises(UserError, match=r"resolves to 127\.0\.0\.1, which no other host reaches"):
        hosts.own_address()


def test_an_address_of_another_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_ADDRESS", "192.0.2.1")  # of nobody: for documentation
    with pytest.raises(UserError, match=r"no network interface .* address 192\.0\.2\.1; it has"):
        hosts.own_address()


def test_an_address_is_a_number_and_its_interface_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCGAN_ADDRESS", "localhost")
    assert hosts.own_address() == "127.0.0.1"
    monkeypatch.delenv("DCGAN_ADDRESS")
    assert hosts.own_address(seen="127.0.0.5") == "127.0.0.5"


# --- Joining --------------------------------------------------------------------------------


def test_what_is_no_training_cannot_be_joined(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=rf"toy/mean: no training of .*; allowed: {KEY}"):
        hosts.join(catalogue, "toy/mean")


def test_one_host_waits_for_nobody(small: SmallGraph) -> None:
    with pytest.raises(UserError, match=r"machine\.hosts is 1"):
        hosts.join(small.catalogue(), KEY)


def test_nothing_that_waits_is_one_line_after_a_while(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=rf"no training waited .* for 1 s; .*materialize {KEY}"):
        hosts.join(catalogue, KEY)


def test_a_host_that_was_killed_does_not_answer(catalogue: Catalogue) -> None:
    invite(catalogue, hosts.free_port("127.0.0.2"))
    with pytest.raises(UserError, match=r"127\.0\.0\.2:\d+, where it waited, does not answer"):
        hosts.join(catalogue, KEY)


def test_the_invitation_of_another_training_is_passed_over(
    catalogue: Catalogue, waiting: int
) -> None:
    invite(catalogue, waiting, asset="toy/other")
    with pytest.raises(UserError, match="no training waited"):
        hosts.join(catalogue, KEY)


@pytest.mark.parametrize("content", ["{", "[]", '{"asset": "toy/candidate", "port": "x"}'])
def test_a_damaged_invitation_is_none(catalogue: Catalogue, waiting: int, content: str) -> None:
    (invite(catalogue, waiting) / "invitation.json").write_text(content)
    with pytest.raises(UserError, match="no training waited"):
        hosts.join(catalogue, KEY)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"root": "/elsewhere"}, "root is .* here and /elsewhere on .* at the same path"),
        ({"code_version": "other"}, "code version is .* and other on .* version of dcgan-assets"),
        ({"torch": "1.0"}, r"torch is .* here and 1\.0 on .* the same packages"),
    ],
)
def test_what_differs_between_hosts_is_refused(
    catalogue: Catalogue, waiting: int, changes: dict[str, str], line: str
) -> None:
    invite(catalogue, waiting, **changes)
    with pytest.raises(UserError, match=line):
        hosts.join(catalogue, KEY)


def test_equal_addresses_are_refused(
    catalogue: Catalogue, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchrun takes two of them for one, and waits for ever."""
    monkeypatch.setenv("DCGAN_ADDRESS", "127.0.0.2")
    invite(catalogue, waiting)
    with pytest.raises(UserError, match=re.escape("this host's address is 127.0.0.2, and so is")):
        hosts.join(catalogue, KEY)


def test_an_invitation_stands_until_it_is_withdrawn(catalogue: Catalogue) -> None:
    folder = invite(catalogue, 1)
    invitation = hosts.Invitation.read(folder)
    assert invitation is not None
    with invitation.standing(folder):
        assert hosts.Invitation.read(folder) == invitation
        hosts.withdraw(folder)
        assert hosts.Invitation.read(folder) is None
    assert not list(folder.iterdir())
