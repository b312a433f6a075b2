"""The page in a real browser, opened from disk: its pictures are torch's, and it can be used."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from small_generator import small_generator

from dcgan_assets.assets.internals.explorer.page import build_page
from dcgan_models.internals.forgetting import draw_without, second_highest_layer
from dcgan_models.networks import Generator, draw_latents
from dcgan_models.portable.folded import fold
from dcgan_models.portable.payload import encoded, network_payload

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

PRESETS = ("mnist28", "lsun64", "imagenet32", "albums128", "torch64")
N = 64
# The picture that the page shows, as bytes.
READ = """() => {
  const canvas = document.getElementById("picture");
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return Array.from(all);
}"""
# Its own worker, asked for pictures one after another; in base64, since lists of numbers are slow.
DRAW = """async ([source, network, zs, labels, damp]) => {
  const base64 = (bytes) => {
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) {
      text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    }
    return btoa(text);
  };
  const worker = new Worker(URL.createObjectURL(new Blob([source])));
  worker.postMessage({ network });
  const found = [];
  for (let i = 0; i < zs.length; i++) {
    const next = new Promise((done) => (worker.onmessage = ({ data }) => done(data.bytes)));
    worker.postMessage({ z: Float32Array.from(zs[i]), label: labels ? labels[i] : 0, damp });
    found.push(base64(await next));
  }
  worker.terminate();
  return found;
}"""


def latents(generator: Generator, n: int) -> tuple[Any, Any]:
    classes = generator.preset.classes
    z = draw_latents(generator.preset, n, torch.Generator().manual_seed(3))
    return z, torch.arange(n) % classes if classes else None


def write_page(
    path: Path, generator: Generator, group: str = "cats", **more: Any
) -> dict[str, Any]:
    """A page of 12 samples, with one word of three exemplars and one slider; its data."""
    z, labels = latents(generator, 12)
    slider = torch.zeros(generator.preset.z_dim)
    slider[7] = 2.0
    truth = {"share": 0.9, "chance": 0.1, "words": "seen"}
    words = [{"name": "fat", "label": "fat", "listed": True, "rows": [0, 1, 2]}]
    data: dict[str, Any] = {
        "group": group,
        "network": network_payload(fold(generator)),
        "samples": 12,
        "latents": encoded(z),
        "labels": None if labels is None else labels.tolist(),
        "words": [] if generator.preset.classes else words,
        "expressions": [],
        "moves": [
            {"label": "size", "ends": ["small", "large"], "vector": encoded(slider), "truth": truth}
        ],
        "forget": None,
        **more,
    }
    text = build_page(
        data,
        **dict.fromkeys(("weights", "pixels", "picked_by", "about"), "some"),
        title=f"Explore {group}",
        group=group,
        numbers=generator.preset.z_dim,
        normal=generator.preset.z_distribution == "normal",
        classes=generator.preset.classes,
        words=bool(data["words"]),
    )
    path.write_text(text, encoding="utf-8")
    return data


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Callable[..., Page]:
    """A page of a small lsun64 that has drawn all it wanted, at a hash."""

    def open_page(hash_: str = "", generator: Generator | None = None, **more: Any) -> Page:
        path = tmp_path / "explorer.html"
        write_page(path, generator or small_generator(), **more)
        page.goto("about:blank")
        page.goto(path.as_uri() + hash_)
        return settled(page)

    return open_page


def settled(page: Page) -> Page:
    page.wait_for_selector('#picture[aria-busy="false"]')
    return page


def shown(page: Page, side: int = 64) -> Any:
    settled(page)
    return np.array(page.evaluate(READ)).reshape(side, side, 4)[..., :3]


@pytest.mark.parametrize("name", PRESETS)
def test_pictures_agree_with_torch_on_the_same_weights(
    name: str, page: Page, tmp_path: Path
) -> None:
    generator = small_generator(name, shifts=1.0)
    data = write_page(tmp_path / "explorer.html", generator)
    z, labels = latents(generator, N)
    want = fold(generator).rounded().draw(z, labels).astype(int)
    assert want.std() > 5  # pictures, and no plain grey
    page.goto((tmp_path / "explorer.html").as_uri())
    found = page.evaluate(
        DRAW,
        [
            worker_source(tmp_path / "explorer.html"),
            data["network"],
            z.tolist(),
            None if labels is None else labels.tolist(),
            None,
        ],
    )
    _, height, width = generator.preset.image
    drawn = np.frombuffer(b"".join(map(b64decode, found)), np.uint8)
    apart = np.abs(drawn.reshape(N, height, width, 4)[..., : want.shape[3]] - want)
    assert apart.max() <= 2
    assert apart.mean() <= 0.3


def worker_source(path: Path) -> str:
    data = re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert data is not None
    return str(json.loads(data[1])["worker"])


def test_forgetting_drops_the_maps_as_figure_6_does(opened: Callable[..., Page]) -> None:
    generator = small_generator()
    layer = second_highest_layer(generator.preset)
    forget = {"layer": layer, "maps": [0, 2], "words": "it", "about": "so"}
    page = opened(generator=generator, forget=forget)
    before = shown(page)
    page.get_by_role("switch").check()
    z, _ = latents(generator, 1)
    apart = np.abs(shown(page) - draw_without(generator, z, [0, 2], layer)[0].astype(int))
    assert apart.max() <= 2
    assert np.abs(shown(page) - before).max() > 10
    assert "forget=1" in page.url


def test_from_the_first_picture_to_undo(opened: Callable[..., Page]) -> None:
    page = opened()
    first = shown(page)
    page.get_by_role("button", name="sample 5").click()
    fifth = shown(page)
    assert not np.array_equal(first, fifth)
    slider = page.get_by_label("size", exact=True)
    slider.focus()
    for _ in range(10):
        slider.press("ArrowRight")
    moved = shown(page)
    assert not np.array_equal(moved, fifth)
    link = page.url
    for _ in range(10):
        page.keyboard.press("Control+z")
    assert np.array_equal(shown(page), fifth)
    page.get_by_role("button", name="Undo").click()
    assert np.array_equal(shown(page), first)
    # The link brings the picture back, on a page that knows nothing else.
    again = opened("#" + link.partition("#")[2])
    assert np.abs(shown(again) - moved).max() <= 2
    assert again.get_by_label("size", exact=True).input_value() == "0.2"


def test_arithmetic_on_words_and_on_the_picture(opened: Callable[..., Page]) -> None:
    page = opened()
    generator = small_generator()
    z, _ = latents(generator, 12)
    page.get_by_role("button", name="add fat").click()
    page.get_by_role("button", name="+ the picture").click()
    page.get_by_role("button", name="plus picture: change the sign").click()
    page.get_by_role("button", name="Take it").click()
    want = fold(generator).rounded().draw(z[:3].mean(dim=0, keepdim=True) - z[:1])[0].astype(int)
    assert np.abs(shown(page) - want).max() <= 2


def test_undo_brings_a_sum_back_and_another_picture_leaves_it(opened: Callable[..., Page]) -> None:
    page = opened()
    terms = page.locator("#terms li")
    page.get_by_role("button", name="add fat").click()
    page.get_by_role("button", name="sample 5").click()
    page.get_by_role("button", name="Clear").click()
    assert terms.count() == 0
    page.get_by_role("button", name="Undo").click()
    assert terms.count() == 1
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    assert terms.count() == 0


def test_a_sum_is_drawn_before_all_else_and_what_has_gone_is_not(
    opened: Callable[..., Page],
) -> None:
    page = opened()
    for _ in range(4):
        page.get_by_role("button", name="add fat").click()
    gone = page.evaluate(
        """() => {
          for (let i = 0; i < 6; i++) document.querySelector("#words button").click();
          const left = [...artist.waiting.keys()];
          return [left.indexOf(document.getElementById("sum")), left.length];
        }"""
    )
    settled(page)
    assert gone[0] in (0, 1)  # after the large picture at most
    assert page.locator("#sum").get_attribute("aria-busy") == "false"
    drawn = page.locator("#terms canvas[data-drawn]").count()
    assert drawn == page.locator("#terms canvas").count() == 10 * 4
    assert page.evaluate("artist.waiting.size") == 0


def test_arrows_go_from_sample_to_sample(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="sample 1", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator('#grid [aria-pressed="true"]').get_attribute("aria-label") == "sample 12"
    assert page.locator('#grid [tabindex="0"]').count() == 1


def test_a_walk_ends_at_the_second_picture(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="100 % of the way").click()
    z, _ = latents(small_generator(), 2)
    want = fold(small_generator()).rounded().draw(z)[1].astype(int)
    assert np.abs(shown(page) - want).max() <= 2


def test_the_numbers_are_pulled_with_the_keyboard(opened: Callable[..., Page]) -> None:
    page = opened()
    before = shown(page)
    bar = page.get_by_role("slider", name="number 1 of 100")
    bar.press("PageUp")
    assert float(bar.get_attribute("aria-valuenow") or 0) > 0
    assert not np.array_equal(shown(page), before)
    bar.press("ArrowRight")
    assert page.get_by_role("slider", name="number 2 of 100").evaluate(
        "bar => bar === document.activeElement"
    )


@pytest.mark.parametrize(
    "link", ["#z=abc", "#z=%%%", "#z=AAAA&label=99", "#forget=2", "#z=", "#label=x"]
)
def test_a_link_that_is_none_is_one_line(link: str, opened: Callable[..., Page]) -> None:
    page = opened(link)
    assert page.get_by_role("status").inner_text().startswith("The link is not of this page")
    assert shown(page).std() > 5


def test_a_browser_without_workers_is_told(opened: Callable[..., Page], page: Page) -> None:
    context = page.context.browser.new_context()  # type: ignore[union-attr]
    context.add_init_script("delete window.Worker")
    other = context.new_page()
    opened()
    other.goto(page.url)
    assert "no workers" in other.get_by_role("status").inner_text()
    context.close()


def test_names_and_notes_stay_text_and_nothing_is_fetched(
    opened: Callable[..., Page], page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    words = [
        {
            "name": "x",
            "label": "</script><img src=http://127.0.0.1:9/x onerror=document.title='taken'>",
            "listed": True,
            "rows": [0],
        }
    ]
    opened(words=words, group="<b>cats</b>")
    assert page.title() == "Explore <b>cats</b>"
    assert page.locator("#words img").count() == 0
    assert {url.partition(":")[0] for url in asked} <= {"file", "blob", "about"}


def test_it_fits_a_telephone(opened: Callable[..., Page], page: Page) -> None:
    size = page.viewport_size
    page.set_viewport_size({"width": 400, "height": 800})
    try:
        opened(generator=small_generator("mnist28"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    finally:
        assert size is not None
        page.set_viewport_size(size)
