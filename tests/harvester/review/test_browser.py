"""The page in a real Chromium, driven by its keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harvester.catalog import Catalog
from harvester.review.verdicts import Verdict, save_verdict
from tests.harvester.review.conftest import HOSTILE, Served, add_figure, five_articles, serving

pytestmark = pytest.mark.slow


class Reader:
    """One person at the page."""

    def __init__(self, driver, served: Served) -> None:
        self.driver, self.served = driver, served
        driver.delete_all_cookies()
        driver.get(served.address)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()
        self.wait(lambda: not self.driver.execute_script("return document.body.hasAttribute('aria-busy')"))

    def run(self, script: str):
        return self.driver.execute_script(f"return {script.strip()}")

    def wait(self, done: Callable[[], object]) -> object:
        deadline = time.monotonic() + 20
        while not (result := done()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain; the page says {self.said!r}")
            time.sleep(0.02)
        return result

    @property
    def said(self) -> str:
        return self.run("document.getElementById('said').textContent")

    @property
    def shown(self) -> str:
        """The article that is looked at."""
        return self.run("document.querySelector('#title .quiet')?.textContent ?? ''").partition("/")[0]

    @property
    def focused(self) -> str:
        return self.run("document.activeElement.id")

    def value(self, field: str) -> str:
        return self.run(f"document.getElementById('{field}').value")

    def reviews(self) -> list[tuple[str, str, float | None]]:
        rows = self.served.catalog.rows("SELECT * FROM review WHERE withdrawn_at IS NULL ORDER BY created_at")
        return [(row["article_id"], row["verdict"], row["magnification_x"]) for row in rows]

    def console(self) -> list[str]:
        """What the browser complained of; a form that is refused on purpose is no complaint of ours."""
        entries = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in entries if "status of 409" not in message and "status of 422" not in message]


@pytest.fixture
def reader(browser, harvest: Catalog) -> Iterator[Reader]:
    browser.get_log("browser")
    with serving(harvest) as served:
        reader = Reader(browser, served)
        yield reader
        assert reader.console() == []


def test_every_key_does_what_the_help_says(reader: Reader):
    from selenium.webdriver.common.keys import Keys

    reader.run("window.stayed = true")
    assert reader.shown == "PMC4.1"

    reader.press("?")
    assert reader.run("document.getElementById('help').open")
    reader.press(Keys.ESCAPE)
    assert not reader.run("document.getElementById('help').open")

    # look around
    reader.press("j")
    assert reader.shown == "PMC3.1"
    reader.press("p")
    assert reader.shown == "PMC4.1"
    reader.press("z")
    assert reader.run("document.getElementById('sheet').style.width") == "200%"
    reader.press("f")
    assert reader.run("document.getElementById('enlarge').getAttribute('aria-pressed')") == "true"

    reader.press("v")
    reader.wait(lambda: "/panel?" in reader.run("document.getElementById('picture').currentSrc"))
    assert reader.run("document.getElementById('overlay').getAttribute('viewBox')") == "0 0 400 300"
    reader.press("v")

    # accept, reject, undo
    reader.press("a")
    assert (reader.shown, reader.said) == ("PMC3.1", "Accepted: PMC4.1/f1/a/s1.")
    assert reader.focused == "title"
    reader.press("r")
    assert reader.reviews() == [("PMC4.1", "accept", None), ("PMC3.1", "reject", None)]
    reader.press("u")
    assert (reader.shown, reader.reviews()) == ("PMC3.1", [("PMC4.1", "accept", None)])

    # correct by typing
    reader.press("c")
    assert reader.focused == "magnification_x"
    reader.press("12,5")
    assert reader.run("document.getElementById('as-mpp').textContent") == "0.8 µm/px"
    assert reader.run("document.querySelector('#bar text').textContent") == "50 µm"
    reader.press(Keys.ENTER)
    assert reader.reviews()[-1] == ("PMC3.1", "correct", 12.5)

    # correct by measuring: the line is half the picture's 400 px at first
    assert reader.shown == "PMC2.1"
    reader.press("m")
    assert (reader.focused, reader.value("measured")) == ("stage", "Line: 200.0 px.")
    reader.press(Keys.ARROW_RIGHT, " ", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert reader.value("measured") == "Line: 203.0 px."
    reader.press(Keys.ENTER)
    assert reader.focused == "length_um"
    reader.press("100")
    assert reader.value("magnification_x") == "20.3"
    reader.press(Keys.ENTER)
    assert reader.reviews()[-1] == ("PMC2.1", "correct", 20.3)

    # box, letter, kind, note
    assert reader.shown == "PMC5.1"
    reader.press("b", Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert [reader.value(name) for name in ("x0_px", "y0_px", "x1_px", "y1_px")] == ["100", "75", "299", "224"]
    reader.press(Keys.ENTER, Keys.ESCAPE)
    reader.press("l")
    reader.press("D", Keys.ESCAPE)
    reader.press("k")
    assert reader.focused == "kind"
    reader.press("immuno", Keys.ESCAPE)
    reader.press("n")
    reader.press("looks brown", Keys.ENTER)
    (row,) = reader.served.catalog.rows("SELECT * FROM review WHERE article_id = 'PMC5.1'")
    assert (row["verdict"], row["kind"], row["panel_label"], row["note"]) == ("correct", "ihc", "D", "looks brown")
    assert (row["x0_px"], row["y1_px"], row["magnification_x"]) == (100, 224, None)

    # the other pages, and search
    reader.press("g")
    assert "snapshot" in reader.run("document.getElementById('title').textContent")
    reader.press("s")
    assert reader.run("document.getElementById('title').textContent") == "Progress"
    reader.press("q")
    assert reader.shown == "PMC1.1"
    reader.press("/")
    assert reader.focused == "words"
    reader.press("kidney", Keys.TAB, Keys.TAB)
    reader.press("All", Keys.ENTER)
    reader.run("document.querySelector('#filters form').requestSubmit()")
    reader.wait(lambda: reader.shown == "PMC5.1")

    assert reader.run("window.stayed") is True, "a key reloaded the page"
    reader.driver.back()
    reader.wait(lambda: reader.shown == "PMC1.1")


def test_a_line_and_a_box_are_dragged(reader: Reader):
    from selenium.webdriver.common.action_chains import ActionChains

    stage = reader.driver.find_element("id", "stage")
    scale = reader.run("document.getElementById('overlay').getScreenCTM().a")
    ActionChains(reader.driver).move_to_element(stage).click_and_hold().move_by_offset(
        round(100 * scale), 0
    ).release().perform()
    assert float(reader.value("measured").split()[1]) == pytest.approx(100, abs=1)

    reader.press("b")
    ActionChains(reader.driver).move_to_element(stage).click_and_hold().move_by_offset(
        round(50 * scale), round(40 * scale)
    ).release().perform()

    assert int(reader.value("x1_px")) - int(reader.value("x0_px")) == pytest.approx(50, abs=1)
    assert int(reader.value("y1_px")) - int(reader.value("y0_px")) == pytest.approx(40, abs=1)


def test_keys_can_be_turned_off_and_never_act_in_a_field(reader: Reader):
    reader.press("n")
    reader.press("ar")
    assert (reader.value("note"), reader.reviews()) == ("ar", [])

    reader.run("localStorage.setItem('harvester-keys', 'off'), document.getElementById('title').focus()")
    reader.press("a")
    reader.run("localStorage.removeItem('harvester-keys')")
    assert reader.reviews() == []


def test_two_reviewers_at_once_are_told_of_each_other(reader: Reader):
    theirs = Verdict("PMC4.1/f1/a/s1", "correct", "bob", 6.0)
    save_verdict(reader.served.catalog, theirs, seen=None, blind=False)

    reader.press("a")
    assert "Not saved yet: bob has meanwhile said correct to 6x" in reader.said
    assert reader.shown == "PMC4.1"
    reader.press("a")

    assert [row[:2] for row in reader.reviews()] == [("PMC4.1", "correct"), ("PMC4.1", "accept")]


def test_another_name_is_another_reviewer(reader: Reader):
    from selenium.webdriver.common.keys import Keys

    reader.press("a")
    reader.run("document.getElementById('name').select(), document.getElementById('name').focus()")
    reader.press("Bób <i>", Keys.ENTER)
    reader.wait(lambda: reader.said == "You are now Bób <i>.")
    reader.press("q")

    assert (reader.shown, reader.value("name")) == ("PMC4.1", "Bób <i>")


def test_a_server_that_went_away_is_told_and_nothing_is_thought_saved(browser, harvest):
    with serving(harvest) as served:
        reader = Reader(browser, served)
    reader.press("a")
    reader.wait(lambda: "harvester does not answer" in reader.said)

    assert reader.shown == "PMC4.1"
    browser.get_log("browser")


def test_blind_review_hides_every_witness_until_the_reviewer_has_committed(browser, harvest):
    from selenium.webdriver.common.keys import Keys

    browser.get_log("browser")
    with serving(harvest, blind=True) as served:
        reader = Reader(browser, served)
        first = reader.shown
        page = reader.run("document.documentElement.outerHTML")
        for telling in ("Liver", "PAS-free", "400×", "µm/px,", "Scale bar", "hagnifinder", 'id="context"', "conflict"):
            assert telling not in page
        answer = reader.run(f"fetch('/figure?id={first}/f1/a/s1').then(a => a.status)")
        assert answer == 403

        reader.press("a")
        assert reader.reviews() == []
        reader.press("c")
        reader.press("20", Keys.ENTER)

        assert reader.shown == first and "The witnesses are shown now" in reader.said
        assert "hagnifinder" in reader.run("document.querySelector('main').textContent")
        (row,) = served.catalog.rows("SELECT * FROM review")
        assert (row["is_blind"], row["magnification_x"]) == (1, 20.0)
        reader.press("a")
        assert [r["is_blind"] for r in served.catalog.rows("SELECT * FROM review ORDER BY created_at")] == [1, 0]
        assert [m for m in reader.console() if "403" not in m] == []


def test_hostile_words_run_nothing(browser, tmp_path: Path):
    from tests.harvester.small_harvest import open_blank

    browser.get_log("browser")
    with open_blank(tmp_path) as catalog:
        add_figure(catalog, 1, caption=HOSTILE, title=HOSTILE, journal=HOSTILE, citation=HOSTILE)
        with serving(catalog, reviewer=HOSTILE) as served:
            reader = Reader(browser, served)
            reader.press("g")
            reader.press("q")
            assert "taken" not in browser.title
            assert HOSTILE in reader.run("document.querySelector('figcaption').textContent")
            assert reader.console() == []


AUDIT = """
(() => {
  const problems = [];
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const colour = getComputedStyle(n).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  for (const node of document.querySelectorAll("input:not([type=hidden]), select")) {
    if (!node.labels.length && !node.ariaLabel) problems.push("no label: " + node.outerHTML);
  }
  for (const node of document.querySelectorAll("button, a")) {
    if (!node.textContent.trim()) problems.push("no name: " + node.outerHTML);
  }
  for (const node of document.querySelectorAll("img:not([alt])")) problems.push("no alt: " + node.src);
  if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
  for (const name of ["header", "nav", "main", "[role=status]"]) {
    if (!document.querySelector(name)) problems.push("no " + name);
  }
  for (const node of document.querySelectorAll("body *:not(svg *):not(.off)")) {
    const words = [...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!words || !node.checkVisibility() || node.closest("button:disabled, option, dialog")) continue;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) problems.push(`contrast ${contrast.toFixed(1)}: ${node.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map(n => n.id);
  if (new Set(ids).size !== ids.length) problems.push("an id twice");
  if (document.documentElement.scrollWidth > innerWidth) problems.push("wider than the window");
  return problems;
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 500])
def test_names_landmarks_contrast_and_width(browser, tmp_path: Path, scheme: str, width: int):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.set_window_size(width, 1000)
    with five_articles(tmp_path) as catalog, serving(catalog) as served:
        reader = Reader(browser, served)
        for key in ("a", "g", "s", "q", "/"):
            reader.press(key)
            assert reader.run(AUDIT) == [], key
    browser.set_window_size(1400, 1000)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_tab_goes_from_the_skip_link_to_the_verdict_in_the_order_of_the_page(reader: Reader):
    from selenium.webdriver.common.keys import Keys

    reader.driver.get(reader.served.origin + "/queue")
    order = []
    for _ in range(14):
        reader.press(Keys.TAB)
        order.append(reader.run("document.activeElement.id || document.activeElement.textContent.trim()"))

    assert order[0] == "Skip to the content"
    wanted = ["help-open", "name", "stage", "magnification_x"]
    assert [name for name in order if name in wanted] == wanted


@pytest.fixture
def without_script(browser) -> Iterator[None]:
    """A browser that runs none of the page's scripts."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_without_javascript_the_page_is_read_and_its_forms_work(browser, without_script, harvest):
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.common.by import By

    def patient(act: Callable[[], object]) -> object:
        # without the page's script there is no sign that the next page has come but the page itself
        deadline = time.monotonic() + 20
        while True:
            try:
                return act()
            except (AssertionError, StaleElementReferenceException, NoSuchElementException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def find(selector: str):
        return browser.find_element(By.CSS_SELECTOR, selector)

    def click(selector: str) -> None:
        patient(lambda: find(selector).click())

    def said(shown: str, words: str) -> None:
        def check() -> None:
            assert find("#title .quiet").text.partition("/")[0] == shown
            assert words in find("#said").text

        patient(check)

    def titled(words: str) -> None:
        def check() -> None:
            assert find("#title").text == words

        patient(check)

    browser.get_log("browser")
    browser.delete_all_cookies()
    with serving(harvest) as served:
        browser.get(served.address)
        said("PMC4.1", "")
        assert "hagnifinder" in find("main").text and "Liver, H&E, x400." in find("figcaption").text

        click("button[value=accept]")
        said("PMC3.1", "Accepted: PMC4.1/f1/a/s1.")
        find("#magnification_x").send_keys("12.5")
        click("button[value=correct]")
        said("PMC2.1", "Corrected: PMC3.1/f1/a/s1.")
        find("#magnification_x").send_keys("many")
        click("button[value=correct]")
        said("PMC2.1", "give a number")
        assert find("#magnification_x").get_attribute("value") == "many"
        click("button[form=undo]")
        said("PMC3.1", "Taken back: your verdict on PMC3.1/f1/a/s1.")

        click("#filters summary")
        find("#words").send_keys("kidney")
        click("#filters button")
        said("PMC5.1", "")
        click("nav a[data-key=g]")
        titled("1 snapshot")
        click(".grid a")
        said("PMC5.1", "")
        click("nav a[data-key=s]")
        titled("Progress")
        rows = served.catalog.rows("SELECT article_id, verdict FROM review WHERE withdrawn_at IS NULL")
        assert [tuple(row.values()) for row in rows] == [("PMC4.1", "accept")]
        assert [entry for entry in browser.get_log("browser") if "status of 422" not in entry["message"]] == []


def test_a_screen_reader_finds_roles_names_and_what_was_said(reader: Reader):
    def tree() -> list[tuple[str, str]]:
        nodes = reader.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        kept = [node for node in nodes if not node["ignored"] and "role" in node]
        for node in kept:
            states = {state["name"]: state["value"].get("value") for state in node.get("properties", ())}
            is_control = states.get("focusable") and node["role"]["value"] not in ("RootWebArea", "MenuListPopup")
            assert not is_control or node["name"]["value"], node
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in kept]

    found = tree()

    wanted = [
        ("navigation", "Pages"), ("main", ""), ("heading", "Figure 1, panel A PMC4.1/f1/a/s1"),
        ("form", "Your verdict"),
        ("button", "Accept a"), ("button", "Reject r"), ("button", "Correct Enter"), ("textbox", "Magnification c"),
        ("combobox", "Kind k"), ("textbox", "Letter l"), ("textbox", "Note n"), ("navigation", "Queue"),
        ("table", "What each witness says of the scale"), ("rowheader", "Scale bar 0.9"),
        ("progressbar", "0 of 5 reviewed, 0 by you"), ("link", "Skip to the content"),
    ]  # fmt: skip
    assert [pair for pair in wanted if pair not in found] == []
    pictures = [name for role, name in found if role in ("image", "img")]
    assert len(pictures) == 2 and all(pictures)
    # landmarks and headings come in the order in which they are read
    read = reader.run("[...document.querySelectorAll('nav, main, h1, #verdict, h2')].map(n => n.ariaLabel || n.id)")
    wanted = ["Pages", "main", "title", "Queue", "Your verdict", "doubt-title", "figure-title", "help-title"]
    assert [name for name in read if name in wanted] == wanted

    reader.press("a")

    said = reader.driver.find_element("id", "said")
    assert (said.aria_role, said.get_attribute("aria-live")) == ("status", "polite")
    assert said.text == "Accepted: PMC4.1/f1/a/s1."
    assert reader.focused == "title"
    assert ("progressbar", "1 of 5 reviewed, 1 by you") in tree()
