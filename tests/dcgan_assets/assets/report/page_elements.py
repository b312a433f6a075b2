"""The report's page as elements, and the report that it was made of."""

from __future__ import annotations

import html.parser
from dataclasses import dataclass, field
from pathlib import Path

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.assets.report.compose import Report, compose, picture_paths
from dcgan_assets.assets.report.encoding import encode_all
from dcgan_assets.assets.report.gather import Made, gather
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text


def make_catalogue(root: Path, profile: str = "sample") -> Catalogue:
    """The steps of a profile, nothing made."""
    (root / "params.yaml").write_text(profile_text(profile), encoding="utf-8")
    return open_catalogue(Workspace(root))


def found_in(catalogue: Catalogue) -> dict[str, Made]:
    """What the report's step would find."""
    store = catalogue.store
    folders = {}
    for key in catalogue.by_key["report/paper"].if_there:
        meta = store.meta(catalogue.artefact(key))
        if meta is not None:
            folders[key] = store.folder(catalogue.artefact(key)), meta
    return gather(folders)


def composed(catalogue: Catalogue, profile: str = "sample") -> Report:
    """The report on a workspace, as the step composes it."""
    made = found_in(catalogue)
    encoded = encode_all(picture_paths(made), 8_000_000)
    return compose(made, catalogue.by_key["report/paper"].if_there, encoded, profile)


@dataclass
class Element:
    """A piece of the page."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, spaces folded."""
        parts = [c if isinstance(c, str) else f" {c.text} " for c in self.children]
        return " ".join("".join(parts).split())

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Descendants of a tag, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                fits = all(child.attributes.get(key) == value for key, value in attributes.items())
                found += [child] if child.tag == tag and fits else []
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found


class PageParser(html.parser.HTMLParser):
    """The page as elements; fails where tags do not match."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("document", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag}: an attribute twice"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)
