"""params.yaml, DVC's two files: bombs, depths, bytes that are no text, pipes, several writers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixture_types import Refused

from dcgan_assets.dvc.dvc_yaml import DVC_FILE, LOCK_FILE, known_stages
from dcgan_assets.engine.instance import SETTINGS, open_instance
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PARAMS_FILE, load_params, profile_text
from dcgan_models.errors import UserError

SAMPLE = profile_text("sample")
LAST = SAMPLE.count("\n") + 1  # the line of what is put at the end
LONGEST = 600  # characters that a refusal takes, its file's path among them


def end(text: str) -> bytes:
    """The sample profile with a text at its end."""
    return f"{SAMPLE}{text}\n".encode("utf-8", "surrogatepass")


def seed(text: str) -> bytes:
    """The sample profile with another seed."""
    return SAMPLE.replace("seed: 42", f"seed: {text}", 1).encode("utf-8", "surrogatepass")


def levels(first: str, level: Callable[[str], str], n: int = 20) -> bytes:
    """A group for each of n levels, each of which names the one before it."""
    lines = [f"  a{k}: &a{k} {level(f'*a{k - 1}')}" for k in range(1, n)]
    return end("\n".join(["groups:", f"  a0: &a0 {first}", *lines]))


DEEP = "deeper than 32 levels"
MUCH = "more than 100,000 values, aliases written out"
ITSELF = "`*a` is a part of what it stands for"
NO_YAML = "not YAML (line"


def things(group: str, old: str, new: str) -> bytes:
    """The sample profile with one line changed of what is drawn for a group."""
    before, head, after = SAMPLE.partition(f"\n{group}:")
    assert old in after
    return f"{before}{head}{after.replace(old, new, 1)}".encode()


# What params.yaml holds, and what the line says of it.
CONTENTS: dict[str, tuple[bytes, str]] = {
    # --- Nothing, something else, more than one ---
    "empty": (b"", "empty; a mapping of sections is needed"),
    "a comment": (b"# nothing", "empty; a mapping of sections is needed"),
    "a list": (b"- a", "a mapping of sections is needed, found ['a']"),
    "a word": (b"hello", "a mapping of sections is needed, found 'hello'"),
    "two documents": (end("---\na: 1"), f"{NO_YAML} {LAST}: but found another document)"),
    "groups twice": (end("groups: {}\ngroups: {}"), f"line {LAST + 1}: the key `groups` is there"),
    "a key twice": (end("seed: 1"), f"line {LAST}: the key `seed` is there twice"),
    "a key twice within": (end("groups: {a: 1, a: 2}"), f"line {LAST}: the key `a` is there"),
    # --- Aliases ---
    "a bomb of lists": (levels("[x]", lambda a: f"[{', '.join([a] * 9)}]"), MUCH),
    "a bomb of mappings": (
        levels("{k: x}", lambda a: f"{{{', '.join(f'k{i}: {a}' for i in range(9))}}}"),
        MUCH,
    ),
    "a bomb of merged keys": (levels("{k: x}", lambda a: f"{{<<: [{', '.join([a] * 9)}]}}"), MUCH),
    "a chain of aliases": (levels("[x]", lambda a: f"[{a}]", 2000), DEEP),
    "a list in itself": (end("groups: &a [*a]"), f"line {LAST}: {ITSELF}"),
    "a mapping in itself": (end("groups: &a {b: *a}"), f"line {LAST}: {ITSELF}"),
    "a mapping its own key": (end("groups: &a {? *a : 1}"), f"line {LAST}: {ITSELF}"),
    "a mapping merged into itself": (end("groups: &a {<<: *a}"), f"line {LAST}: {ITSELF}"),
    "an alias of nothing": (end("groups: *a"), f"{NO_YAML} {LAST}: found undefined alias 'a')"),
    "a merged number": (end("groups: {<<: 3}"), f"{NO_YAML} {LAST}: expected a mapping"),
    "an anchor twice": (end("groups: {a: &x 1, b: &x 2}"), "groups.a: Input should be a valid"),
    # --- Depth and size ---
    "100,000 brackets": (end("groups: " + "[" * 100_000), f"line {LAST}: {DEEP}"),
    "100,000 closed brackets": (end("groups: " + "[" * 100_000 + "]" * 100_000), DEEP),
    "100,000 braces": (end("groups: " + "{" * 100_000), f"line {LAST}: {DEEP}"),
    "100,000 dashes": (end("groups:\n " + "- " * 100_000), f"line {LAST + 1}: {DEEP}"),
    "100,000 question marks": (end("groups:\n " + "? " * 100_000), f"line {LAST + 1}: {DEEP}"),
    "100,000 mappings": (end("groups: " + "{a: " * 100_000), f"line {LAST}: {DEEP}"),
    "1,000 indents": (end("a:\n" + "\n".join(" " * k + "a:" for k in range(1, 1000))), DEEP),
    "2 MiB": (end("#" * 2**21), "larger than 1 MiB"),
    "a key of 500,000 letters": (end("? '" + "k" * 500_000 + "'\n: 1"), "kkkk"),
    "a tag of 500,000 letters": (end("groups: !" + "a" * 500_000 + " x"), "unknown tag `!aaa"),
    "an open quote": (end("groups: '" + "x" * 500_000), "found unexpected end of stream"),
    # --- Numbers ---
    "5,000 digits": (seed("9" * 5000), f"{NO_YAML} 5: '999"),
    "5,000 hexadecimal digits": (seed("0x" + "F" * 5000), "5,002 characters; at most 100"),
    "a number above 64 bits": (seed("9" * 99), "seed: Input should be less than"),
    "an octal number above": (seed("0o" + "7" * 30), "seed: Input should be less than"),
    "a sexagesimal number": (seed("1:30:00"), "seed: Input should be a valid integer"),
    "a sexagesimal float": (
        f"%YAML 1.1\n---\nseed: 1{':59' * 3000}.0\n".encode(),
        "is no float (int too large",
    ),
    "infinity": (seed(".inf"), "seed: Input should be a valid integer (found inf)"),
    "not a number": (seed(".nan"), "seed: Input should be a valid integer (found nan)"),
    "beyond every float": (seed("1e999"), "seed: Input should be a valid integer (found inf)"),
    "a date": (seed("2026-01-01"), "seed: Input should be a valid integer (found datetime"),
    "no date": (seed("2026-13-45"), f"{NO_YAML} 5: '2026-13-45' is no timestamp (month"),
    "a truth": (seed("true"), "seed: Input should be a valid integer (found True)"),
    "nothing": (seed("~"), "seed: Input should be a valid integer (found None)"),
    # --- Tags and directives ---
    "a call of Python": (
        end("groups: !!python/object/apply:os.system [exit]"),
        f"{NO_YAML} {LAST}: unknown tag `tag:yaml.org,2002:python/object/apply:os.system`",
    ),
    "a tag of nobody": (end("groups: !x {}"), f"{NO_YAML} {LAST}: unknown tag `!x`"),
    "a set": (end("groups: !!set {a}"), "groups: Input should be a valid dictionary"),
    "pairs": (end("groups: !!pairs [a: 1]"), "groups: Input should be a valid dictionary"),
    "bytes": (seed("!!binary aGVsbG8="), "seed: Input should be a valid integer (found b'hello')"),
    "no bytes": (seed("!!binary a"), f"{NO_YAML} 5: failed to decode base64"),
    "no whole number": (seed("!!int x"), f"{NO_YAML} 5: 'x' is no int"),
    "a number of a mapping": (seed("!!int {a: 1}"), f"{NO_YAML} 5: expected a scalar node"),
    "YAML 9.9": (b"%YAML 9.9\n---\n" + SAMPLE.encode(), f"{NO_YAML} 1: found incompatible"),
    # --- Keys ---
    "a number as a key": (end("7: 8"), "7: Keys should be strings"),
    "nothing as a key": (end("~: 8"), "None: Keys should be strings"),
    "a list as a key": (end("? [1, 2]\n: 3"), "(1, 2): Keys should be strings"),
    "a mapping as a key": (end("? {a: 1}\n: 3"), f"{NO_YAML} {LAST}: found unhashable key)"),
    "a number as a group": (end("groups: {7: {}}"), "groups.7"),
    "a key with a line's end": (end(r'"a\nerror: b": 1'), r"a\nerror: b: unknown key"),
    "a key that clears the screen": (end(r'"\e[2J": 1'), r"\x1b[2J: unknown key"),
    "a group with a line's end": (end(r'groups: {"a\nb": {}}'), r"groups.a\nb"),
    "half a character": (end(r'"\ud800": 1'), f"{NO_YAML} {LAST}: '\\ud800' is no str"),
    # --- Bytes ---
    "NUL": (seed("42\0"), f"{NO_YAML} 5: U+0000 is not allowed there)"),
    "ESC": (seed("\x1b[2J"), f"{NO_YAML} 5: U+001B is not allowed there)"),
    "a tab": (seed("\n\t42"), f"{NO_YAML} 6: found character '\\t' that cannot start any token)"),
    "UTF-16": (SAMPLE.encode("utf-16"), "not UTF-8 (byte 0xff at 0)"),
    "Latin-1": (b"seed: caf\xe9", "not UTF-8 (byte 0xe9 at 9)"),
    "a lone surrogate": (end("x: \ud800"), "not UTF-8 (byte 0xed at "),
    "bytes of a program": (Path(sys.executable).read_bytes()[:4096], "not UTF-8 (byte "),
    # --- What is drawn ---
    "a kind of drawing that is none": (
        things("imagenet", "source: things", "source: thing"),
        "imagenet.images.source: Input should be 'photographs', 'rooms', 'faces', 'things'",
    ),
    "labelled rooms": (
        things("cifar10", "source: things", "source: rooms"),
        "cifar10.images.source: Input should be 'things', 'folder' or 'download'",
    ),
    "things of 48 pixels": (
        things("imagenet", "size: 32", "size: 48"),
        "imagenet.images.size: pictures are 16, 32, 64, 128 pixels wide, not 48",
    ),
    "things of 64 pixels for Table 1": (
        things("imagenet", "size: 32", "size: 64"),
        "images.size is 64",
    ),
    "things without a number": (
        things("imagenet", "    pictures: 8000\n", ""),
        "`pictures` is needed with `source` `photographs`, `rooms`, `faces` or `things`",
    ),
    "no labelled things": (
        things("cifar10", "train: 2000", "train: 0"),
        "cifar10.images.train: Input should be greater than 0 (found 0)",
    ),
    "a control with more labels": (
        things("cifar10", "trials: 6\n    per_class: 40", "trials: 6\n    per_class: 41"),
        "cifar10: supervised_cnn.per_class is 41 and svm_scores.per_class 40",
    ),
    # --- Paths ---
    "a path with NUL": (
        SAMPLE.replace("removals: removals.csv", r'removals: "a\0b"', 1).encode(),
        "removals: NUL is in no path",
    ),
    "a path of 100,000 letters": (
        SAMPLE.replace("removals: removals.csv", f"removals: {'a' * 100_000}", 1).encode(),
        "removals: a longer path than any file has",
    ),
    "a path of 30,000 dots": (
        SAMPLE.replace("removals: removals.csv", f"removals: {'../' * 10_000}", 1).encode(),
        "removals: ",
    ),
}


def require_one_line(error: UserError, path: Path, words: str) -> None:
    line = str(error)
    assert line.startswith(f"{path}: ")
    assert words in line
    assert line.isprintable(), "no line's end, no ESC"
    assert len(line) < LONGEST


@pytest.mark.parametrize("case", CONTENTS)
def test_what_is_no_params_yaml_is_one_line(
    tmp_path: Path, case: str, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / PARAMS_FILE
    content, words = CONTENTS[case]
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_params(path)
    require_one_line(caught.value, path, words)
    assert not recwarn.list


# --- Something else in its place --------------------------------------------------------------


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, 100_000_000)


def chain(path: Path) -> None:
    path.symlink_to(path.name)


PLACES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "not readable (not a plain file)"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "not readable (not a plain file)"),
    "/dev/null": (lambda path: path.symlink_to("/dev/null"), "not readable (not a plain file)"),
    "a folder": (Path.mkdir, "not readable (Is a directory)"),
    "a symlink to itself": (chain, "not readable (Too many levels of symbolic links)"),
    "100 MB": (large, "larger than 1 MiB"),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, case: str) -> None:
    make, words = PLACES[case]
    path = tmp_path / PARAMS_FILE
    make(path)
    with pytest.raises(UserError) as caught:
        load_params(path)
    require_one_line(caught.value, path, words)


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + SAMPLE.encode(), SAMPLE.replace("\n", "\r\n").encode()],
    ids=["a byte order mark", "lines of Windows"],
)
def test_what_editors_add_changes_nothing(tmp_path: Path, content: bytes) -> None:
    for name, bytes_ in ("plain", SAMPLE.encode()), ("theirs", content):
        (tmp_path / name).write_bytes(bytes_)
    assert load_params(tmp_path / "theirs") == load_params(tmp_path / "plain")


# --- DVC's files and Dagster's settings -------------------------------------------------------

BOMB = "a0: &a0 [x]\n" + "\n".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 20)
)
BOOKS: dict[str, tuple[str, str]] = {
    "a bomb": (BOMB, MUCH),
    "brackets": ("stages: " + "[" * 2_000, DEEP),
    "a list": ("- a", "a mapping with a mapping `stages` is needed"),
    "stages that are a list": ("stages: [a]", "a mapping with a mapping `stages` is needed"),
    "a stage that is a word": ("stages: {a: b}", "stages.a: a name and a mapping are needed"),
    "a stage that is a number": ("stages: {7: {}}", "stages.7: a name and a mapping are needed"),
    "outs that are a number": ("stages: {a: {outs: 7}}", "stages.a.outs: a list of paths"),
    "outs of nothing": ("stages: {a: {outs: [{}]}}", "stages.a.outs: a list of paths"),
    "deps of lists": ("stages: {a: {deps: [[b]]}}", "stages.a.deps: a list of paths"),
    "meta that is a word": ("stages: {a: {meta: b}}", "stages.a.meta: a mapping is needed"),
    "plots that are a number": ("stages: {}\nplots: 7", "plots: a list of paths is needed"),
    "a call of Python": ("stages: !!python/name:os.system x", "unknown tag"),
}


@pytest.mark.parametrize("name", [DVC_FILE, LOCK_FILE])
@pytest.mark.parametrize("case", BOOKS)
def test_what_is_no_file_of_dvcs_is_one_line(
    tmp_path: Path, refused: Refused, case: str, name: str
) -> None:
    content, words = BOOKS[case]
    (tmp_path / name).write_text(content, encoding="utf-8")
    with refused(f"{tmp_path / name}: not readable; ", words):
        known_stages(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(BOMB, MUCH), ("x: " + "[" * 2_000, DEEP), ("telemetry: &a {b: *a}", ITSELF)],
    ids=["a bomb", "brackets", "a mapping in itself"],
)
def test_dagster_is_given_no_settings_that_it_chokes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, content: str, words: str
) -> None:
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `open_instance` sets them
        monkeypatch.setenv(name, "unset")
    (tmp_path / ".dagster_home").mkdir()
    (tmp_path / ".dagster_home" / SETTINGS).write_text(content, encoding="utf-8")
    with refused(SETTINGS, words), open_instance(Workspace(tmp_path)):
        pass


# --- Several commands that write --------------------------------------------------------------


def pictures(folder: Path) -> Path:
    folder.mkdir()
    for number in range(50):
        (folder / f"{number}.jpg").write_bytes(b"x")
    return folder


def command(root: Path, name: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "dcgan_assets.cli", "--root", str(root)),
            *("new-group", name, "--from", str(folder)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_of_four_commands_at_once_each_adds_its_group(tmp_path: Path) -> None:
    (tmp_path / PARAMS_FILE).write_text(SAMPLE, encoding="utf-8")
    folder = pictures(tmp_path / "pictures")
    names = ["cats", "dogs", "birds", "cats"]
    running = [command(tmp_path, name, folder) for name in names]
    said = [each.communicate() for each in running]
    assert sorted(each.returncode for each in running) == [0, 0, 0, 1], said
    assert sorted(line for _, line in said)[-1].startswith("error: groups.cats is in params.yaml")
    assert sorted(load_params(tmp_path / PARAMS_FILE).groups) == ["birds", "cats", "dogs"]
    text = (tmp_path / PARAMS_FILE).read_text(encoding="utf-8")
    assert text.startswith(SAMPLE)
    assert {path.name for path in tmp_path.iterdir()} == {PARAMS_FILE, "pictures"}
