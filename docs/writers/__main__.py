"""`python -m docs.writers`: write every page that is made from the code. Tests hold them to it."""

from __future__ import annotations

from docs.writers.deviations import DOCUMENT, document
from docs.writers.reference import FOLDER, PAGES

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    DOCUMENT.write_text(document(), encoding="utf-8")
