"""`python -m docs.writers`: write every page that is made from the code. Tests hold them to it."""

from __future__ import annotations

from docs.writers import deviations, leaks
from docs.writers.reference import FOLDER, PAGES

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    deviations.DOCUMENT.write_text(deviations.document(), encoding="utf-8")
    leaks.DOCUMENT.write_text(leaks.document(leaks.DOCUMENT.read_text("utf-8")), encoding="utf-8")
