"""Where bytes of strangers are decoded: in bounded worker processes, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dcgan_assets

PACKAGE = Path(dcgan_assets.__file__).parent
# What turns bytes into pixels, whether it is ours or a library's.
DECODERS = {
    "cv2.imdecode", "cv2.imread", "cv2.VideoCapture", "Image.open", "imageio.imread", "plt.imread",
    "mpimg.imread", "iio.imread", "av.open", "decode", "photo_faces",
}  # fmt: skip
IN_WORKERS = {
    "sources/faces/finding.py": {"decode"},
    "sources/mnist.py": {"Image.open"},
    "sources/reading/decode.py": {"cv2.imdecode", "Image.open"},
    "sources/reading/readers.py": {"decode"},
}
OUR_OWN = {
    # PNGs that a step wrote into its own artefact, and the pictures in a record of ours.
    "assets/report/encoding.py": {"Image.open"},
    "engine/curves.py": {"Image.open"},
    "engine/metadata.py": {"Image.open", "decode"},
    "dvc/agreement.py": {"Image.open"},
    # A callable that is handed over.
    "sources/reading/complaints.py": {"decode"},
    # Packaged photographs.
    "sources/photographs.py": {"decode"},
}
ALLOWED = {**IN_WORKERS, **OUR_OWN}


def decoders_called(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return calls & DECODERS


@pytest.mark.parametrize(
    "part", sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_")
)
def test_nothing_else_decodes(part: str) -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): calls
        for path in (PACKAGE / part).rglob("*.py")
        if (calls := decoders_called(path))
    }
    assert found == {name: calls for name, calls in ALLOWED.items() if name.startswith(f"{part}/")}
