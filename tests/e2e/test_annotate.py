"""`dcgan annotate` in a real browser: by mouse, by keyboard alone, attacked, and left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe import faults
from pages import PATIENCE_MS
from small_generator import SAMPLES, publish_generator
from workbench import Bench, Running, wait_for, without_dvc

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass
class Annotator:
    """A workspace whose generator is open in the page."""

    bench: Bench
    running: Running
    address: str
    page: Page
    errors: list[str]

    @property
    def concepts(self) -> dict[str, list[int]]:
        content = json.loads(self._file("concepts.json").read_text("utf-8"))
        found: dict[str, list[int]] = content["concepts"]
        return found

    @property
    def coco(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._file("boxes.coco.json").read_text("utf-8"))
        return content

    def _file(self, name: str) -> Path:
        return self.bench.root / "annotations/lsun" / name

    def open(self) -> None:
        """Open the page anew and wait until samples are there."""
        self.page.goto("about:blank")
        self.page.goto(self.address)
        self.page.locator(".tile:not(.waiting)").first.wait_for(timeout=PATIENCE_MS)
        self.saved()

    def saved(self) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator("#saved")).to_have_text("Saved", timeout=PATIENCE_MS)

    def sample(self, number: int) -> Any:
        return self.page.locator(".tile").nth(number)

    def drag(self, *corners: float) -> None:
        """Draw a box from (x0, y0) to (x1, y1), in pixels of the sample."""
        area = self.page.locator("#stage").bounding_box()
        assert area is not None
        x0, y0, x1, y1 = (corner * area["width"] / 64 for corner in corners)
        mouse = self.page.mouse
        mouse.move(area["x"] + x0, area["y"] + y0)
        mouse.down()
        mouse.move(area["x"] + (x0 + x1) / 2, area["y"] + y1)
        mouse.move(area["x"] + x1, area["y"] + y1)
        mouse.up()

    def says(self) -> str:
        """What a screen reader was told last."""
        return self.page.locator("#says").inner_text()


@pytest.fixture(scope="module")
def annotator(make_bench: Any, page: Page) -> Iterator[Annotator]:
    bench: Bench = make_bench("annotate", without_dvc)
    publish_generator(bench.root, "lsun")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("dialog", lambda dialog: dialog.accept())
    with bench.running("dcgan", "annotate", "lsun", "--no-browser") as running:
        line = running.until(lambda: _address(running), "the address")
        yield Annotator(bench, running, line, page, errors)
        assert running.interrupt() == 0
        assert running.output().splitlines()[-1] == "stopped"


def _address(running: Running) -> str | None:
    lines = [line for line in running.output().splitlines() if line.startswith("http://")]
    return lines[0].removesuffix(" (Ctrl-C stops)") if lines else None


@pytest.fixture
def fresh(annotator: Annotator) -> Annotator:
    """The page of a workspace without annotations."""
    annotator.page.goto("about:blank")
    for path in (annotator.bench.root / "annotations").rglob("*.json"):
        path.unlink()
    annotator.errors.clear()
    annotator.page.set_viewport_size({"width": 1440, "height": 900})
    annotator.open()
    return annotator


def _add_concept(fresh: Annotator, name: str) -> None:
    fresh.page.get_by_label("Name of a new concept").fill(name)
    fresh.page.get_by_role("button", name="Add", exact=True).click()


# --- By mouse -------------------------------------------------------------------------------


def test_pick_undo_reload(fresh: Annotator) -> None:
    page = fresh.page
    for name, samples in (("dark room", (3, 9, 14)), ("light", (2, 9))):
        _add_concept(fresh, name)
        for number in samples:
            fresh.sample(number).click()
    fresh.saved()
    assert fresh.concepts == {"dark_room": [3, 9, 14], "light": [2, 9]}
    assert page.get_by_role("option", name="Sample 9, dark_room, light").count() == 1

    fresh.sample(9).click()  # out of `light` again
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    fresh.saved()
    assert fresh.concepts == {"dark_room": [3, 9, 14], "light": [2]}
    page.get_by_role("button", name="Redo").click()
    fresh.saved()
    assert fresh.concepts["light"] == [2, 9]

    page.get_by_role("button", name="Rename light").click()
    page.get_by_label("New name of light").fill("bright")
    page.get_by_label("New name of light").press("Enter")
    page.get_by_role("button", name="Remove dark_room").click()
    fresh.saved()
    assert fresh.concepts == {"bright": [2, 9]}

    fresh.open()
    assert page.locator(".tile[aria-selected=true]").count() == 2
    assert page.locator(".concept .name").all_inner_texts() == ["bright"]
    assert fresh.errors == []


def test_a_bad_or_second_name_is_told(fresh: Annotator) -> None:
    _add_concept(fresh, "dark")
    for name, words in (("dark", "already"), ("1st", "A name is a letter"), ("", "A name is")):
        _add_concept(fresh, name)
        assert words in fresh.page.locator("#add-wrong").inner_text()
    fresh.saved()
    assert fresh.concepts == {"dark": []}


def test_draw_undo_reload(fresh: Annotator) -> None:
    page = fresh.page
    page.get_by_role("tab", name="Draw boxes").click()
    fresh.sample(5).click()
    fresh.drag(6, 8, 30, 40)
    fresh.drag(60, 60, 40, 20)  # from the lower right to the upper left
    fresh.drag(10, 50, 200, 90)  # beyond the picture
    fresh.saved()
    assert [a["bbox"] for a in fresh.coco["annotations"]] == [
        [6, 8, 24, 32],
        [40, 20, 20, 40],
        [10, 50, 54, 14],
    ]
    page.get_by_role("button", name="Undo").click()
    page.get_by_label("Object").fill("lamp")
    fresh.drag(1, 2, 4, 6)
    page.get_by_role("button", name="Done, next sample").click()
    page.get_by_role("button", name="Done, next sample").click()  # sample 6 has no object
    fresh.saved()
    coco = fresh.coco
    assert [image["file_name"] for image in coco["images"]] == [
        "sample_0005.png",
        "sample_0006.png",
    ]
    assert [category["name"] for category in coco["categories"]] == ["lamp", "window"]
    assert len(coco["annotations"]) == 3
    assert coco["annotations"][2]["bbox"] == [1, 2, 3, 4]
    assert coco["annotations"][2]["category_id"] == 1

    fresh.open()
    page.get_by_role("tab", name="Draw boxes").click()
    fresh.sample(5).click()
    assert page.locator("#box-list li").count() == 3
    page.get_by_role("button", name="Remove lamp").click()
    fresh.saved()
    assert len(fresh.coco["annotations"]) == 2
    assert fresh.errors == []


def test_what_is_drawn_follows_the_picks(fresh: Annotator) -> None:
    from playwright.sync_api import expect

    page = fresh.page
    for name, number in (("left", 1), ("right", 2)):
        _add_concept(fresh, name)
        fresh.sample(number).click()
    page.get_by_role("textbox", name="Expression").fill("right - left + right")
    pictures = page.locator("#result canvas")
    pictures.nth(8).wait_for(timeout=PATIENCE_MS)
    assert pictures.count() == 9
    before = page.locator("#result").get_attribute("data-drawn")
    first = _content(page, 4)
    fresh.sample(7).click()
    expect(page.locator("#result")).not_to_have_attribute(
        "data-drawn", str(before), timeout=PATIENCE_MS
    )
    wait_for(lambda: _content(page, 4) != first, "another result")

    page.get_by_role("textbox", name="Expression").fill("right - left + up")
    page.get_by_text("unknown concept 'up'; there are: left, right").wait_for()
    for tab, count in (("Walk", 9), ("Turn", 11)):
        page.get_by_role("tab", name=tab).click()
        pictures.nth(count - 1).wait_for(timeout=PATIENCE_MS)
        assert pictures.count() == count
    assert page.locator("#turn-left").input_value() == "left"
    assert page.locator("#turn-right").input_value() == "right"


def _content(page: Page, number: int) -> str:
    found: str = page.locator("#result canvas").nth(number).evaluate("c => c.toDataURL()")
    return found


def test_light_dark_and_narrow(fresh: Annotator, screenshots: Path) -> None:
    page = fresh.page
    for name, samples in (("left", (1, 5, 8)), ("right", (2, 12, 33))):
        _add_concept(fresh, name)
        for number in samples:
            fresh.sample(number).click()
    page.get_by_role("textbox", name="Expression").fill("right - left + right")
    page.locator("#result canvas").nth(8).wait_for(timeout=PATIENCE_MS)
    for scheme, width in (("light", 1440), ("dark", 1440), ("light", 400), ("dark", 400)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        for tab in ("Draw boxes", "Pick concepts"):
            page.get_by_role("tab", name=tab).click()
            overflow = "document.documentElement.scrollWidth - innerWidth"
            assert page.evaluate(overflow) <= 0, f"wider than the window of {width}"
            name = f"annotate_{tab.split()[0].lower()}_{scheme}_{width}.png"
            page.screenshot(path=screenshots / name, full_page=True)
            if width == 1440:
                assert faults(page) == []
    page.emulate_media(color_scheme="light")


def test_figures_are_made_with_what_a_person_picked_and_drew(fresh: Annotator) -> None:
    page, bench = fresh.page, fresh.bench
    for name, samples in (("left", (1, 5, 8)), ("right", (2, 12, 33))):
        _add_concept(fresh, name)
        for number in samples:
            fresh.sample(number).click()
    page.get_by_role("tab", name="Draw boxes").click()
    for number in (3, 4, 6, 7):
        fresh.sample(number).click()
        fresh.drag(12, 8, 40, 44)
    fresh.saved()
    fresh.open()
    assert page.locator(".tile[aria-selected=true]").count() == 3

    bench.edit_params(_add_arithmetic)
    bench.dcgan("materialize", "lsun/judge")
    figures = ("lsun/vector_arithmetic", "lsun/window_dropout")
    said = bench.dcgan("materialize", "--only", *figures)
    assert "done: 2 made" in said
    for key in figures:
        assert '"person"' in bench.meta(f"results/{key}")["metadata"]["picked_by"]
        assert "auto" not in (bench.root / "results" / key / "result.json").read_text("utf-8")
    used = bench.root / "results/lsun"
    concepts = json.loads((used / "vector_arithmetic/concepts.json").read_text("utf-8"))
    assert concepts["concepts"] == fresh.concepts
    boxes = json.loads((used / "window_dropout/boxes.coco.json").read_text("utf-8"))
    assert [box["bbox"] for box in boxes["annotations"]] == [[12, 8, 28, 36]] * 4


def _add_arithmetic(params: dict[str, Any]) -> None:
    params["lsun"]["vector_arithmetic"] = {"expressions": ["right - left + right"]}


# --- By keyboard alone ----------------------------------------------------------------------


def test_by_keyboard_alone(fresh: Annotator) -> None:
    page, press = fresh.page, fresh.page.keyboard.press

    def tab_to(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    tab_to("#new-concept")
    page.keyboard.type("dark")
    press("Enter")
    assert fresh.says() == "Concept dark added"
    for key in ("ArrowRight", "ArrowRight", "Space"):  # sample 2
        press(key)
    assert fresh.says() == "Sample 2 in dark, 1 pick"
    press("ArrowDown")
    press("Enter")
    below = int(
        page.evaluate("[...document.querySelectorAll('.tile')].indexOf(document.activeElement)")
    )
    assert below > 4
    press("End")
    press("Space")
    press("Control+z")
    press("Home")
    press("Space")
    tab_to("#new-concept")
    page.keyboard.type("light")
    press("Enter")
    press("1")
    assert fresh.says().startswith("Picking for dark")
    press("2")
    press("Space")  # sample 0, where Home had led
    fresh.saved()
    assert fresh.concepts == {"dark": [0, 2, below], "light": [0]}

    page.evaluate("document.activeElement.blur()")
    tab_to("#tab-pick")
    press("ArrowRight")
    tab_to(".tile")
    press("ArrowRight")
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "stage"
    press("Enter")
    assert fresh.says() == "Box: window, 16 by 16 at 24, 24"
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowUp"):
        press(key)
    assert fresh.says() == "window, 17 by 15 at 23, 22"
    press("Enter")
    press("Delete")
    press("n")
    press("n")
    press("Escape")
    fresh.saved()
    coco = fresh.coco
    assert [a["bbox"] for a in coco["annotations"]] == [[23, 22, 17, 15]]
    assert [image["id"] for image in coco["images"]] == [1, 2]
    assert fresh.errors == []


def test_everything_that_takes_the_focus_has_a_name(fresh: Annotator) -> None:
    _add_concept(fresh, "dark")
    fresh.sample(1).click()
    for tab in ("Draw boxes", "Pick concepts"):
        fresh.page.get_by_role("tab", name=tab).click()
        nameless = fresh.page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, [tabindex], [role=img]')]
              .filter(e => e.offsetParent && !(e.getAttribute('aria-label')
                || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"""
        )
        assert nameless == []
    fresh.saved()


# --- From elsewhere -------------------------------------------------------------------------


_ATTACK = """
async ([url, token, mode, method]) => {
  const body = JSON.stringify({ revision: "", content: { stolen: [1] } });
  const headers = token
    ? { "x-annotate-token": token, "content-type": "application/json" } : {};
  try {
    const answer = await fetch(url, { method, mode, headers, body });
    return answer.status;
  } catch (error) {
    return String(error);
  }
}
"""


def test_another_origin_gets_nowhere(fresh: Annotator, elsewhere: str) -> None:
    page = fresh.page
    base, _, token = fresh.address.partition("#")
    page.goto(elsewhere)
    url = f"{base}api/concepts"
    # This one is sent; the answer is kept from it, and the file below says that it was refused.
    assert "TypeError" in page.evaluate(_ATTACK, [url, "", "no-cors", "POST"])
    # Even with the token, the browser asks first and is not told yes.
    for method in ("PUT", "POST"):
        assert "TypeError" in page.evaluate(_ATTACK, [url, token, "cors", method])
    framed = page.evaluate(
        """url => new Promise(done => {
          const frame = document.createElement("iframe");
          frame.onload = () => { try { done(frame.contentDocument?.title ?? "closed"); }
                                 catch { done("closed"); } };
          frame.src = url;
          document.body.append(frame);
        })""",
        base,
    )
    assert framed == "closed"
    assert not (fresh.bench.root / "annotations/lsun/concepts.json").exists()
    fresh.open()
    assert fresh.page.evaluate(_ATTACK, [url, token, "cors", "PUT"]) == 200, "the page itself may"


def test_without_the_token_the_page_says_what_to_do(fresh: Annotator) -> None:
    fresh.page.goto("about:blank")
    fresh.page.goto(fresh.address.partition("#")[0])
    fresh.page.get_by_text("open the address that `dcgan annotate` printed").wait_for()


def test_only_this_machine_can_reach_it(annotator: Annotator) -> None:
    assert {address for address, _ in annotator.running.listening()} == {"127.0.0.1"}


# --- When the server is gone ----------------------------------------------------------------


def test_a_lost_connection_is_said_and_nothing_is_lost(fresh: Annotator) -> None:
    from playwright.sync_api import expect

    page = fresh.page
    _add_concept(fresh, "dark")
    fresh.saved()
    page.context.set_offline(True)
    fresh.sample(3).click()
    alert = page.get_by_role("alert").filter(has_text="The server is gone")
    alert.wait_for(timeout=PATIENCE_MS)
    expect(page.locator("#saved")).to_have_text("Not saved")
    assert fresh.concepts == {"dark": []}
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    fresh.saved()
    expect(alert).to_have_count(0)
    assert fresh.concepts == {"dark": [3]}


def test_a_file_changed_elsewhere_is_not_overwritten(fresh: Annotator) -> None:
    _add_concept(fresh, "dark")
    fresh.saved()
    path = fresh.bench.root / "annotations/lsun/concepts.json"
    path.write_text(path.read_text("utf-8").replace("dark", "gloomy"), encoding="utf-8")
    fresh.sample(3).click()
    fresh.page.get_by_text("changed by something else").wait_for(timeout=PATIENCE_MS)
    assert fresh.concepts == {"gloomy": []}
    fresh.open()
    assert fresh.page.locator(".concept .name").all_inner_texts() == ["gloomy"]


def test_a_killed_server_is_noticed(fresh: Annotator, screenshots: Path) -> None:
    """With a server of its own, which dies before anything is done on the page."""
    with fresh.bench.running("dcgan", "annotate", "lsun", "--no-browser") as running:
        fresh.page.goto(running.until(lambda: _address(running), "the address"))
        assert fresh.page.locator(".tile").count() in {0, SAMPLES}
        fresh.page.locator(".tile:not(.waiting)").first.wait_for(timeout=PATIENCE_MS)
        running.kill()
    # Nobody touches anything: the page itself looks every few seconds.
    fresh.page.get_by_text("The server is gone").wait_for(timeout=PATIENCE_MS)
    fresh.page.screenshot(path=screenshots / "annotate_gone.png")
