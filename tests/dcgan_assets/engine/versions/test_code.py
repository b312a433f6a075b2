"""Code versions: what changes them, what does not, and that every Python agrees on them.

A tree of tiny modules, with those that compute versions among them, shows each rule on its own; a
copy of the real packages shows what the real assets hang on. Both are read by a fresh interpreter,
since modules are found and parsed once in a process; what it parsed lies beside the tree.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import dcgan_assets
from dcgan_assets.engine.versions import outlines
from dcgan_assets.engine.versions.code import code_version
from dcgan_assets.engine.versions.outlines import tree_digest
from dcgan_assets.params.file import profile_text, validate_params
from dcgan_models import presets
from dcgan_models.files import digest_json

PACKAGES = Path(dcgan_assets.__file__).parents[1]

_READER = """
import json, sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from dcgan_assets.engine.versions.code import code_version
names = [name.rsplit(".", 1) for name in sys.argv[2:]]
functions = [SimpleNamespace(__module__=module, __name__=name) for module, name in names]
print(json.dumps([code_version(function, {}) for function in functions]))
from dcgan_assets.engine.versions import memory
memory.remember()
"""


def versions_in(tree: Path, *functions: str) -> dict[str, str]:
    """Code versions of functions, by dotted name, in the packages below `tree`."""
    done = subprocess.run(
        [sys.executable, "-c", _READER, str(tree), *functions],
        env={**os.environ, "XDG_CACHE_HOME": str(tree / "cache"), "HOME": str(tree / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(functions, json.loads(done.stdout), strict=True))


# --- A tree of tiny modules -----------------------------------------------------------------

CATS = '''
"""Cats."""
import json
from dcgan_assets.engine import store
from dcgan_assets.assets import whole
from dcgan_assets.assets.shared import helper as shared_helper, _unused
from dcgan_models.networks import build
from dcgan_models.presets import preset
from dcgan_models.other import other

_LIMIT = 3
_LOW, _HIGH = 1, 2
_TABLE = {"a": 1}
_TABLE["b"] = 2
_TOTAL = 5
_TOTAL += 1
_SPARE = 9


def make(work):
    """Make cats."""
    from dcgan_models import lazy
    return _inner(work, _LIMIT, _LOW, _HIGH, _TABLE, _TOTAL), lazy.grow(), preset("cats")


def _inner(*arguments):
    # A comment.
    store.publish()
    return shared_helper(build(arguments))


def modular():
    return whole.first()


def late():
    from dcgan_assets.assets.shared import late as asked
    return asked()


def unrelated():
    return other(_SPARE)
'''

TINY = {
    "dcgan_assets/__init__.py": "",
    "dcgan_assets/engine/store.py": "def publish():\n    return 1\n",
    "dcgan_assets/assets/__init__.py": "",
    "dcgan_assets/assets/cats.py": CATS,
    "dcgan_assets/assets/shared.py": (
        "from dcgan_assets.sources.files import listing\n"
        "_DEEP = 1\n"
        "def helper(x):\n    return listing(x) + _DEEP\n"
        "def _unused():\n    return 0\n"
        "def late():\n    return 'late'\n"
    ),
    "dcgan_assets/assets/whole.py": (
        "def first():\n    return second()\ndef second():\n    return 1\n"
    ),
    "dcgan_assets/sources/__init__.py": "",
    "dcgan_assets/sources/files.py": "def listing(x):\n    return x\n",
    "dcgan_models/__init__.py": '"""Models."""\n',
    "dcgan_models/networks.py": "from dcgan_models.layers import layer\nbuild = layer\n",
    "dcgan_models/layers.py": "def layer(x):\n    return x\n",
    "dcgan_models/presets.py": "def preset(name):\n    return name\n",
    "dcgan_models/lazy.py": "def grow():\n    return 1\n",
    "dcgan_models/other.py": "def other(x):\n    return x\n",
}
VERSIONED_BY = (
    "dcgan_assets/engine/versions/code.py",
    "dcgan_assets/engine/versions/outlines.py",
    "dcgan_assets/engine/versions/memory.py",
    "dcgan_models/files.py",
)
MAKE = "dcgan_assets.assets.cats.make"


def write_tiny(tree: Path) -> Path:
    for name, text in TINY.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in VERSIONED_BY:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGES / name, tree / name)
    return tree


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


@cache
def tiny_version(function: str) -> str:
    """A function's version in the tree as it is written above, wherever that lies."""
    with tempfile.TemporaryDirectory() as folder:
        return versions_in(write_tiny(Path(folder)), function)[function]


def changed_by(tree: Path, file: str, old: str, new: str, function: str = MAKE) -> bool:
    """Whether a change of one file changes a function's version."""
    path = tree / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return versions_in(tree, function)[function] != tiny_version(function)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("assets/cats.py", '"""Cats."""', '"""Felines."""'),
        ("assets/cats.py", '    """Make cats."""\n', ""),
        ("assets/cats.py", "    # A comment.\n", ""),
        ("assets/cats.py", "def make(work):", "\n\ndef make(\n    work,\n):  # spaced"),
        ("assets/cats.py", "_LIMIT = 3", "_LIMIT = (0x3)"),
        ("assets/cats.py", '_TABLE["b"]', "_TABLE['b']"),
        ("assets/cats.py", "return other(_SPARE)", "return None"),
        ("assets/cats.py", "_SPARE = 9", "_SPARE = 10"),
        ("assets/shared.py", "return 0", "return 10"),
        ("assets/whole.py", "return 1", "return 2"),
        ("engine/store.py", "return 1", "return 2"),
        ("../dcgan_models/presets.py", "return name", "return name * 2"),
        ("../dcgan_models/other.py", "return x", "return 2 * x"),
    ],
)
def test_does_not_change(tiny: Path, file: str, old: str, new: str) -> None:
    assert not changed_by(tiny, f"dcgan_assets/{file}", old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("assets/cats.py", "_LIMIT = 3", "_LIMIT = 4"),
        ("assets/cats.py", "_LOW, _HIGH = 1, 2", "_LOW, _HIGH = 1, 3"),
        ("assets/cats.py", '_TABLE["b"] = 2', '_TABLE["b"] = 3'),
        ("assets/cats.py", '{"a": 1}', '{"a": 2}'),
        ("assets/cats.py", "_TOTAL = 5", "_TOTAL = 6"),
        ("assets/cats.py", "_TOTAL += 1", "_TOTAL += 2"),
        ("assets/cats.py", "build(arguments)", "build(arguments[0])"),
        ("assets/shared.py", "listing(x) + _DEEP", "listing(x) - _DEEP"),
        ("assets/shared.py", "_DEEP = 1", "_DEEP = 2"),
        ("sources/files.py", "return x", "return 2 * x"),
        ("../dcgan_models/networks.py", "build = layer", "build = layer or None"),
        ("../dcgan_models/layers.py", "return x", "return 2 * x"),
        ("../dcgan_models/lazy.py", "return 1", "return 2"),
    ],
)
def test_does_change(tiny: Path, file: str, old: str, new: str) -> None:
    assert changed_by(tiny, f"dcgan_assets/{file}", old, new)


def moved(tree: Path, old: str, new: str) -> bool:
    """Whether moving a module, and importing it from its new place, changes a version."""
    source, target = (tree.joinpath(*name.split(".")).with_suffix(".py") for name in (old, new))
    target.parent.mkdir(exist_ok=True)
    (target.parent / "__init__.py").touch()
    source.rename(target)
    was, now = (name.rpartition(".") for name in (old, new))
    for path in (tree / "dcgan_assets" / "assets").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace(old, new)
        text = text.replace(f"from {was[0]} import {was[2]}", f"from {now[0]} import {now[2]}")
        path.write_text(text, encoding="utf-8")
    networks = tree / "dcgan_models" / "networks.py"
    if networks.exists():
        networks.write_text(networks.read_text().replace(old, new))
    return versions_in(tree, MAKE)[MAKE] != tiny_version(MAKE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dcgan_models.layers", "dcgan_models.parts.layers"),
        ("dcgan_models.networks", "dcgan_models.parts.networks"),
        ("dcgan_models.lazy", "dcgan_models.parts.lazy"),
        ("dcgan_assets.sources.files", "dcgan_assets.sources.reading.files"),
        ("dcgan_assets.assets.shared", "dcgan_assets.assets.dogs.shared"),
        ("dcgan_assets.assets.shared", "dcgan_assets.assets.common"),
    ],
)
def test_a_module_that_moves_counts_as_before(tiny: Path, old: str, new: str) -> None:
    assert not moved(tiny, old, new)


def test_the_same_name_taken_from_another_module_counts(tiny: Path) -> None:
    (tiny / "dcgan_models" / "other.py").write_text("def build(x):\n    return x\n")
    old, new = "dcgan_models.networks import build", "dcgan_models.other import build"
    # Both modules are read either way.
    cats = tiny / "dcgan_assets" / "assets" / "cats.py"
    text = cats.read_text().replace("presets import preset\n", "presets import preset as _\n")
    text = text.replace('preset("cats")', "(networks.build, other.build)")
    text += "from dcgan_models import networks, other\n"
    cats.write_text(text)
    before = versions_in(tiny, MAKE)
    cats.write_text(text.replace(old, new))
    assert versions_in(tiny, MAKE) != before


def test_an_asset_module_that_is_taken_whole_counts_whole(tiny: Path) -> None:
    function = "dcgan_assets.assets.cats.modular"
    assert changed_by(tiny, "dcgan_assets/assets/whole.py", "return 1", "return 2", function)


def test_an_import_inside_a_function_is_followed(tiny: Path) -> None:
    function = "dcgan_assets.assets.cats.late"
    assert changed_by(tiny, "dcgan_assets/assets/shared.py", "'late'", "'later'", function)


# --- The real packages ----------------------------------------------------------------------

MNIST = "dcgan_assets.assets.digits.mnist"
IMAGES = "dcgan_assets.assets.digits.images.make_images"
CANDIDATE, PUBLISH, PANELS, SCORES = (
    f"{MNIST}.{name}"
    for name in ("_candidate", "_publish", "_sample_panels", "_nearest_neighbour_scores")
)
SEARCH, FETCH, FACES = (
    f"dcgan_assets.assets.pictures.{name}"
    for name in ("image_urls.make_image_urls", "photos.make_photos", "face_boxes.make_face_boxes")
)
PEOPLE = "dcgan_assets.assets.pictures.people.make_people"
OF_DIGITS = (IMAGES, CANDIDATE, PUBLISH, PANELS, SCORES)
ASSETS = (*OF_DIGITS, PEOPLE, SEARCH, FETCH, FACES)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the real packages. Whoever changes it puts it back."""
    tree = tmp_path_factory.mktemp("real")
    for package in ("dcgan_assets", "dcgan_models"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGES / package, tree / package, ignore=ignored)
    return tree


@pytest.fixture(scope="module")
def real_versions(real: Path) -> dict[str, str]:
    return versions_in(real, *ASSETS)


@contextmanager
def rewritten(path: Path, text: str) -> Iterator[None]:
    """A file with another content, until the block ends."""
    before = path.read_bytes()
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(before)


def test_where_the_packages_lie_does_not_count(real_versions: dict[str, str]) -> None:
    for asset, version in real_versions.items():
        module, _, name = asset.rpartition(".")
        function: Any = SimpleNamespace(__module__=module, __name__=name)
        assert code_version(function, {}) == version


class _OtherDocstrings(ast.NodeTransformer):
    """Puts other words into every docstring."""

    def visit(self, node: ast.AST) -> ast.AST:
        may_be = ast.Module | ast.ClassDef | ast.FunctionDef
        if isinstance(node, may_be) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Expr(ast.Constant("Other words."))
        return self.generic_visit(node)


def test_formatting_comments_and_docstrings_of_everything(
    real: Path, real_versions: dict[str, str]
) -> None:
    with ExitStack() as changes:
        for path in real.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            tree = _OtherDocstrings().visit(ast.parse(text))
            plain = ast.unparse(ast.fix_missing_locations(tree))
            assert plain != text or not text
            changes.enter_context(rewritten(path, plain))
        assert versions_in(real, *ASSETS) == real_versions


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        # Plumbing, and the presets, whose values count through the section.
        ("dcgan_assets/engine/store.py", set()),
        ("dcgan_assets/engine/step.py", set()),
        ("dcgan_assets/engine/results.py", set()),
        ("dcgan_assets/engine/metadata.py", set()),
        ("dcgan_assets/params/file.py", set()),
        ("dcgan_models/presets.py", set()),
        # Nothing of mnist.py names the addition.
        ("dcgan_assets/assets/digits/mnist.py", set()),
        # What counts, directly and through other modules.
        ("dcgan_assets/sources/mnist.py", {IMAGES}),
        ("dcgan_assets/sources/fetch.py", {IMAGES}),
        ("dcgan_models/networks.py", {CANDIDATE, PUBLISH, PANELS, SCORES}),
        # What makes rows of the web's answers counts; how the web is asked does not.
        ("dcgan_assets/sources/web/search/sparql.py", {PEOPLE, SEARCH, FETCH}),
        ("dcgan_assets/sources/web/licences.py", {SEARCH, FETCH}),
        ("dcgan_assets/sources/web/download/ledger.py", {FETCH, FACES}),
        ("dcgan_assets/sources/web/search/client.py", set()),
        ("dcgan_assets/sources/web/download/download.py", set()),
        ("dcgan_assets/sources/web/download/robots.py", set()),
        ("dcgan_assets/sources/faces/finding.py", {FACES}),
        ("dcgan_models/training/loop.py", {CANDIDATE}),
        ("dcgan_models/neighbours/nearest.py", {CANDIDATE, PUBLISH, SCORES}),
    ],
)
def test_what_the_real_assets_hang_on(
    real: Path, real_versions: dict[str, str], module: str, expected: set[str]
) -> None:
    path = real / module
    with rewritten(path, path.read_text(encoding="utf-8") + "\nADDED = 1\n"):
        after = versions_in(real, *ASSETS)
    assert {name for name in ASSETS if after[name] != real_versions[name]} == expected


# --- Sections and presets -------------------------------------------------------------------


def mnist_versions() -> dict[str, str]:
    """Versions of both candidates with the sample profile, presets as they are now."""
    params = validate_params(yaml.safe_load(profile_text("sample")), "sample")
    sections = {"mnist28": params.mnist.candidate, "mnist28_fc": params.mnist.fc_candidate}
    return {name: code_version(tree_digest, s.identity()) for name, s in sections.items()}


@pytest.mark.parametrize("name", ["mnist28", "mnist28_fc", "torch64"])
def test_a_preset_counts_for_those_who_use_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mnist_versions()
    other = replace(presets.PRESETS[name], beta1=0.6)
    monkeypatch.setattr(presets, "PRESETS", {**presets.PRESETS, name: other})
    after = mnist_versions()
    assert {key for key in before if after[key] != before[key]} == {name} - {"torch64"}


def test_the_presets_own_value_written_out_is_the_same_training() -> None:
    params = validate_params(yaml.safe_load(profile_text("sample")), "sample")
    candidate = params.lsun.candidate
    own = presets.PRESETS[candidate.preset]
    written = {"batch": own.batch, "learning_rate": own.learning_rate}
    same = candidate.model_copy(update=written)
    assert same.identity() == candidate.model_copy(update=dict.fromkeys(written)).identity()
    other = candidate.model_copy(update={"batch": own.batch + 1})
    assert other.identity() != same.identity()


def test_a_number_in_the_section_counts() -> None:
    assert code_version(tree_digest, {"train": 1}) != code_version(tree_digest, {"train": 2})


def test_json_is_hashed_by_content_alone() -> None:
    # Computed apart: printf '{"a":[1,2.5,null],"b":"\u00e9"}' | sha256sum
    expected = "45584828a616e524473fb887d415f828918fb9676efdaa57c062231771111499"
    assert digest_json({"b": "é", "a": [1, 2.5, None]}) == expected
    assert digest_json({"a": [1, 2.5, None], "b": "é"}) == expected


# --- The same on every Python ---------------------------------------------------------------

# Every kind of syntax that 3.11 has, and what its successors parse in another way.
SNIPPET = r'''
"""A docstring."""
from __future__ import annotations
import a.b as c, d
from x import (y as z, w)

async def f(a, /, b: int = 1, *args, k=None, **kw) -> str | None:
    "Another."
    async with open(a) as q, q: pass
    async for i in k: await i
    global G
    h = lambda: (yield)
    return f"{a!r:>{b}} {k=} {a:} {{}} {b!s}" f'x{"y"}' "tail" u"text" '\U0001fae8 é'

@d.e(1, *args, **kw)
class K(B, metaclass=M):
    """A third."""
    x: int
    y: list[int] = []
    def g(self): 'nothing else'
    def h(self):
        b"bytes"
        x = 1_000, 1.0, 1e400, 3j, -0.0, ..., None, True, 10**30
        return {**a, 'k': 1, None: 2}, {1, *s}, [i for i in s if i if j for k in i], (z := 5)

match p:
    case {"a": [1, *rest], **kw} | K(x=1) | None: pass
    case -1 | "s" as t if t: pass
    case _: raise E from None
try: pass
except* ValueError as e: del e[1:2, ::3]
try: pass
except (A, B): pass
else: pass
finally: assert x, "m"
while 1: continue
else: x <<= y @ z // w
for i, (j, *k) in s: break
with (a as b, c): pass
x = a if b else c; y = not a or b and c < d <= e is not f not in g
print(*a, sep='', **b); x[...] = y.z[1:2]
s = f"{f'{x}'}{'a' 'b'}{x:{'>'}{10}}"; r = rf"\d{x}"; e = f""; n = f"{x}" "" ; o = "" f"{x}"
'''
DIGEST = "ae67f349ca784bee08b8f9c36181ae92b534c044f4f4899de3a1634a39f439b0"

_DIGEST_READER = """
import ast, importlib.util, sys
spec = importlib.util.spec_from_file_location("outlines", sys.argv[1])
outlines = importlib.util.module_from_spec(spec)
spec.loader.exec_module(outlines)
print(outlines.tree_digest(ast.parse(sys.stdin.read())))
"""


def test_a_fixed_snippet_has_a_fixed_digest() -> None:
    assert tree_digest(ast.parse(SNIPPET)) == DIGEST


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_every_python_at_hand_gives_it(minor: int) -> None:
    python = f"python3.{minor}"
    runs = (
        shutil.which(python)
        and not subprocess.run([python, "--version"], capture_output=True, check=False).returncode
    )
    if not runs:
        pytest.skip(f"no {python} on the PATH")
    done = subprocess.run(
        [python, "-c", _DIGEST_READER, str(outlines.__file__)],
        input=SNIPPET,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.strip() == DIGEST


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = u'a'", 'x = "a"'),
        ("x = 'a' 'b'", "x = 'ab'"),
        ("x = 1_000", "x = (1000)"),
        ("x = f'{y}' ''", "x = f'{y}'"),
        ("def f(a): 'doc'; return a", "def f(\n  a,\n):\n  # A comment.\n  return a"),
        ("class A:\n  '''One.\n\n  Two.'''\n  x = 1", "class A: x = 1"),
        ("'''Of the module.'''\nx = 1", "x = 1"),
    ],
)
def test_the_same_program_in_other_words(one: str, other: str) -> None:
    assert tree_digest(ast.parse(one)) == tree_digest(ast.parse(other))


def _edits() -> list[tuple[str, str]]:
    """Pairs of programs that mean different things."""
    return [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = '1'"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = False"),
        ("x = -1", "x = 1"),
        ("a - b", "b - a"),
        ("f(a, b)", "f(a)(b)"),
        ("f(*a)", "f(**a)"),
        ("[1, [2]]", "[1, 2]"),
        ("f'{x}'", "f'{x!r}'"),
        ("f'{x:{w}}'", "f'{x:{w}d}'"),
        ("f'{x}'", "f'{x:}{y}'"),
        ("{**a, 'b': 1}", "{'b': 1, **a}"),
        ("if a: b\nelse: c", "if a: b\nc"),
        ("def f(a, /, b): 0", "def f(a, b): 0"),
        ("def f(a): 0", "async def f(a): 0"),
        ("def f(): 'doc'; return 1", "def f(): 'doc'; return 2"),
        ("x = 'not a docstring'", "x = 'no docstring'"),
        ("1; 'later string'", "1; 'another'"),
    ]


@pytest.mark.parametrize(("one", "other"), _edits())
def test_other_programs_have_other_digests(one: str, other: str) -> None:
    assert tree_digest(ast.parse(one)) != tree_digest(ast.parse(other))
