"""YAML means the same to us as to DVC, whatever the spelling, and what is no YAML is one line."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import ParseError, load_yaml
from hypothesis import given
from hypothesis import strategies as st

from dcgan_assets.params.file import PROFILES, load_params, profile_text, validate_params
from dcgan_assets.params.yaml_files import parse_yaml, read_yaml, yaml_text
from dcgan_models.errors import UserError

# How people write values, and what each is in YAML 1.2.
SPELLINGS: dict[str, Any] = {
    "1e-3": 0.001,
    "1e3": 1000.0,
    ".5": 0.5,
    "042": 42,
    "08": 8,
    "0o17": 15,
    "0x1F": 31,
    "1_0000": 10_000,
    "1,000": "1,000",
    "3:00": "3:00",
    "1:30:00": "1:30:00",
    "no": "no",
    "yes": "yes",
    "on": "on",
    "off": "off",
    "y": "y",
    "True": True,
    "FALSE": False,
    "~": None,
    "null": None,
    "": None,
    "'~'": "~",
    "2026-07-01": dt.date(2026, 7, 1),
    "'2026-07-01'": "2026-07-01",
    "1.2.3": "1.2.3",
    "a#b": "a#b",
    "a #b": "a",
    "[1, no]": [1, "no"],
}
# Whole files, and what they hold.
FILES: dict[bytes, Any] = {
    b"x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n": {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}},
    b"\xef\xbb\xbfa: 1\n": {"a": 1},  # with a byte order mark
    b"a: 1\r\nb:\r\n  - 2\r\n": {"a": 1, "b": [2]},
    b"%YAML 1.1\n---\na: no\n": {"a": False},  # who asks for the old version gets it
    "a: größe\n".encode(): {"a": "größe"},
}
# What is no YAML, and what the line says of it.
WRONG: dict[bytes, str] = {
    b"seed: 42\nmnist: {}\nseed: 43\n": "line 3: the key `seed` is there twice",
    b"a:\n  b: {c: 1,\n      c: 1}\n": "line 3: the key `c` is there twice",
    b"1: a\ntrue: b\n": "line 2: the key `True` is there twice",
    b"x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x\n": "line 4: the key `<<` is there twice",
    b"a:\n\tb: 1\n": r"not YAML (line 2: found character '\t' that cannot start any token)",
    b"a: b: c\n": "not YAML (line 1: mapping values are not allowed here)",
    b"a: [1\nb: 2\n": "not YAML (line 2: ",
    b"a: *b\n": "not YAML (line 1: found undefined alias 'b')",
    b"a: !!python/object/apply:os.getcwd []\n": "not YAML (line 1: unknown tag `tag:yaml.org",
    b"a: 1\n---\nb: 2\n": "not YAML (line 2: but found another document)",
    b"a: 2026-13-45\n": "not YAML (line 1: '2026-13-45' is no timestamp (month must be in 1..12",
    b"a: !!int x\n": "not YAML (line 1: 'x' is no int (invalid literal",
    b"a: !!bool x\n": "not YAML (line 1: 'x' is no bool ('x')",
    b"a: " + b"9" * 5000: "not YAML (line 1: '999",
    b"%YAML 1.3\n---\na: 1\n": "not YAML (version minor part",
    b"[" * 500: "line 1: deeper than 32 levels",
    b"a: \0\n": "not YAML (line 1: U+0000 is not allowed there)",
    b"a: caf\xe9\n": "not UTF-8 (byte 0xe9 at 6)",
    "a: 1\n".encode("utf-16"): "not UTF-8 (byte 0xff at 0)",
}


def dvcs(path: Path) -> Any:
    """What DVC makes of a file; it takes an empty one for an empty mapping."""
    return load_yaml(str(path))


# --- What is meant --------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_means_what_yaml_1_2_says(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"key: {spelling}\n", encoding="utf-8")
    value = read_yaml(path)["key"]
    assert (value, type(value)) == (SPELLINGS[spelling], type(SPELLINGS[spelling]))
    assert read_yaml(path) == dvcs(path)


@pytest.mark.parametrize("content", FILES)
def test_a_file_means_what_it_means_to_dvc(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert read_yaml(path) == FILES[content] == dvcs(path)


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("# nothing but a comment\n", encoding="utf-8")
    assert read_yaml(path) is None
    assert dvcs(path) == {}


_CHARACTERS = "aefno019._-+:~'\"#&*!|>%@[]{},?= \t\n\r\xa0\x85é\ufeff\u2028"


@given(st.text(_CHARACTERS, max_size=24))
def test_any_text_means_what_it_means_to_dvc(text: str) -> None:
    from dvc.utils.serialize import parse_yaml as dvc_parse

    with warnings.catch_warnings():  # of an anchor that is there twice
        warnings.simplefilter("ignore")
        try:
            theirs = dvc_parse(text, "params.yaml")
        except Exception:  # of all kinds
            with pytest.raises(UserError) as caught:
                parse_yaml(text, "params.yaml")
            assert "\n" not in str(caught.value)
        else:
            # Written out, because what is not a number is not equal to itself.
            assert repr(parse_yaml(text, "params.yaml") or {}) == repr(theirs)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_template_means_the_same_to_dvc(tmp_path: Path, profile: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(profile_text(profile), encoding="utf-8")
    assert validate_params(dvcs(path), profile) == load_params(path)


# --- What is no YAML ------------------------------------------------------------------------


@pytest.mark.parametrize("content", WRONG, ids=lambda content: str(content[:30]))
def test_what_is_no_yaml_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: {WRONG[content]}")
    assert "\n" not in line
    assert len(line) < 500
    with pytest.raises((ParseError, ValueError, KeyError, AssertionError, RecursionError)):
        dvcs(path)


def test_a_missing_file_and_one_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"not readable \(Is a directory\)"):
        read_yaml(tmp_path)


# --- params.yaml ----------------------------------------------------------------------------


def edited(tmp_path: Path, old: str, new: str) -> Path:
    """The `sample` profile's params.yaml, one spelling changed."""
    text = profile_text("sample")
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_numbers_are_what_dvc_takes_them_for(tmp_path: Path) -> None:
    assert load_params(edited(tmp_path, "seed: 42\n", "seed: 042\n")).seed == 42
    rate = edited(tmp_path, "learning_rate: 0.001 ", "learning_rate: 1e-3 ")
    assert load_params(rate).mnist.candidate.learning_rate == 0.001
    count = edited(tmp_path, "samples: 2000", "samples: 2_000")
    assert load_params(count).mnist.publish.samples == 2_000


def test_off_is_a_word(tmp_path: Path) -> None:
    path = edited(tmp_path, "  device: auto", "  dvc: off\n  device: auto")
    assert load_params(path).machine.dvc == "off"


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "'false'", "0", "~"])
def test_a_word_is_not_true_or_false(tmp_path: Path, word: str) -> None:
    """DVC would write the word down, whatever we took it for."""
    with pytest.raises(UserError) as caught:
        load_params(edited(tmp_path, "parquet: false", f"parquet: {word}"))
    assert "cifar10.features.parquet: true or false is needed (found " in str(caught.value)


def test_a_bare_date_would_end_every_call_of_dvc(tmp_path: Path) -> None:
    text = profile_text("small")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace('born_after: "1920-01-01"', "born_after: 1920-01-01"), "utf-8")
    line = "faces.people.born_after: write it in quotes, DVC has no such values (datetime.date(1920"
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert str(caught.value).startswith(f"{path}: {line}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seed: 43", "line 6: the key `seed` is there twice"),
        ("bomb: &a [1, 1]", "bomb: unknown key; allowed here: "),
        ("groups: &a {b: *a}", "line 6: `*a` is a part of what it stands for"),
        ("groups: &a [*a]", "line 6: `*a` is a part of what it stands for"),
        ("7: 8", "7: "),
        ("~: 8", "None: "),
        ("2026-07-01: 8", "datetime.date(2026, 7, 1): "),
        ("? [1, 2]\n: 3", "(1, 2): "),
    ],
)
def test_what_is_no_params_yaml_is_one_line(tmp_path: Path, line: str, words: str) -> None:
    path = edited(tmp_path, "seed: 42\n", f"seed: 42\n{line}\n")
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert "\n" not in str(caught.value)


def test_a_list_within_a_list_within_a_list_is_not_written_out(tmp_path: Path) -> None:
    levels = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    bomb = "\n".join(["groups:", "  a0: &a0 [x]", *levels])
    path = edited(tmp_path, "seed: 42\n", f"seed: 42\n{bomb}\n")
    with pytest.raises(UserError, match="line 12: more than 100,000 values, aliases written out"):
        load_params(path)


# --- What is written ------------------------------------------------------------------------

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.recursive(
        _SCALARS | st.sampled_from(["no", "042", "1e-3", "3:00", "~", "${x}", "2026-07-01"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_what_is_written_reads_as_it_was(content: Any) -> None:
    assert parse_yaml(yaml_text({"content": content}), "what was written") == {"content": content}


def test_order_is_kept_and_no_line_is_folded() -> None:
    long = " ".join(["word"] * 100)
    text = yaml_text({"b": long, "a": [{"c": None}, {}]})
    assert text == f"b: {long}\na:\n- c:\n- {{}}\n"
