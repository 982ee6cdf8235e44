"""The page in a real browser: what it shows, how it is walked, and that no name runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.support.browser import Browser, chromium
from tests.support.graphs import HOSTILE, every_outcome, hostile, huge, make_plan

from nix_manylinux.report.picture.model import visible
from nix_manylinux.report.picture.render import render_graph

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from nix_manylinux.resolve.plan import Plan

pytestmark = pytest.mark.asked_for("NIX_MANYLINUX_BROWSER")

DOWN, ENTER, ESCAPE = "\ue015", "\ue007", "\ue00c"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Generator[Browser, None, None]:
    """Give one browser to all tests of the module: starting it takes longer than they do."""
    with chromium(tmp_path_factory.mktemp("browser")) as started:
        yield started


def show(browser: Browser, folder: Path, plan: Plan, *, anchor: str = "") -> None:
    """Open the page of a plan as a file, as people do."""
    page = folder / "graph.html"
    page.write_text(render_graph(plan, "html", advised=True), encoding="ascii")
    browser.open("about:blank")
    browser.open(f"{page.as_uri()}{anchor}")


def items(browser: Browser) -> list[str]:
    """Give the names in the list, in order."""
    return browser.texts("#list .item .name")


def test_missing_libraries_come_first(browser: Browser, tmp_path: Path) -> None:
    """The list begins with what is missing, and the notice counts it."""
    show(browser, tmp_path, every_outcome())
    assert items(browser)[:2] == ["libmissing.so.1", "libnew.so.2"]
    assert browser.texts(".notice h2") == [
        "1 library is missing, 1 library is found but unfit",
    ]
    assert browser.messages() == []


def test_a_library_tells_who_wants_it(browser: Browser, tmp_path: Path) -> None:
    """A click on a library shows its wanters; one on a file there shows what that needs."""
    show(browser, tmp_path, every_outcome())
    browser.click("#list .item.missing")
    wait_for(browser, "#one h2", "libmissing.so.1")
    assert browser.texts(".around > :nth-child(1) .name") == ["_core.abi3.so"]
    assert browser.texts("#one .loud") == ["nixpkgs: nowhere in nixpkgs"]
    browser.click(".around > :nth-child(1) .box")
    wait_for(browser, "#one h2", "_core.abi3.so")
    assert browser.texts(".around > :nth-child(3) .name") == [
        "libmissing.so.1", "liba.so", "libcublas.so.12", "libz.so.1", "libc.so.6",
    ]  # fmt: skip
    browser.run("history.back()")
    wait_for(browser, "#one h2", "libmissing.so.1")


def test_the_way_in_is_shown(browser: Browser, tmp_path: Path) -> None:
    """For a library deep inside, the chain from the file that Python imports stands there."""
    show(browser, tmp_path, every_outcome())
    browser.press("/")
    browser.press("libcuda" + ENTER)
    wait_for(browser, "#one h2", "libcuda.so.1")
    assert browser.texts(".way button") == ["_core.abi3.so", "liba.so", "libb.so", "libcuda.so.1"]


def test_search_and_filters_narrow(browser: Browser, tmp_path: Path) -> None:
    """Words are looked for in names, places and attributes; filters keep one origin."""
    show(browser, tmp_path, every_outcome())
    browser.press("/")
    browser.press("LIB demo.libs")
    assert items(browser) == ["liba.so", "libb.so"]
    assert browser.texts("#count") == ["2 of 13"]
    browser.press(ESCAPE)
    browser.click("#filters .wheel")
    assert items(browser) == ["libcublas.so.12"]
    browser.click("#filters .wheel")
    assert len(items(browser)) == 13


def test_keys_alone_suffice(browser: Browser, tmp_path: Path) -> None:
    """Slash, arrows, Enter and Escape: to a file, to what it needs, and back."""
    show(browser, tmp_path, every_outcome())
    browser.press("/")
    browser.press(DOWN)
    browser.press(DOWN)
    focused = "return document.activeElement.querySelector('.name').textContent"
    assert browser.run(focused) == "libnew.so.2"
    browser.press(ENTER)
    wait_for(browser, "#one h2", "libnew.so.2")
    assert browser.run("return document.querySelectorAll('#list [tabindex=\"0\"]').length") == 1
    browser.press(ESCAPE)
    wait(browser, "return !document.getElementById('overview').hidden")


def test_the_picture_leads_to_its_nodes(browser: Browser, tmp_path: Path) -> None:
    """A click on a card of the picture opens it; on a folded one, its members."""
    show(browser, tmp_path, every_outcome())
    browser.run("document.querySelector('#canvas .card.wheel').dispatchEvent(new Event('click'))")
    wait_for(browser, "#one h2", "libcublas.so.12")
    show(browser, tmp_path, huge())
    browser.run("document.querySelector('#canvas .card.tree').dispatchEvent(new Event('click'))")
    assert browser.texts("#one h2") == ["10 members"]
    assert len(browser.texts("#one .box")) == 10


def test_hostile_names_run_no_script(browser: Browser, tmp_path: Path) -> None:
    """Every node opened, searched and hovered: no dialog, no element, no request, no error."""
    show(browser, tmp_path, hostile())
    known = browser.run(
        "return [...new Set([...document.querySelectorAll('*')].map(e => e.tagName))]"
    )
    assert not {"IMG", "IFRAME", "A", "OBJECT"} & set(known)
    assert browser.run("return document.scripts.length") == 2
    names = {visible(name) for name in HOSTILE if name}
    shown = set(items(browser))
    assert names <= shown
    count = browser.run(
        "return JSON.parse(document.getElementById('data').textContent).nodes.length"
    )
    assert count >= 4 * len(HOSTILE)
    for i in range(0, count, 3):
        browser.run(
            "location.hash = '#n' + arguments[0];"
            "document.querySelector('#canvas .card').dispatchEvent(new Event('pointerenter'))",
            i,
        )
    for name in HOSTILE:
        browser.run(
            "const s = document.getElementById('search'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('input'))",
            visible(name),
        )
    assert browser.dialog() is None
    assert browser.run("return document.querySelectorAll('img, iframe, a, object').length") == 0
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.messages() == []


def test_the_policy_stops_what_is_not_the_pages_own(browser: Browser, tmp_path: Path) -> None:
    """Were markup to get in, the browser would refuse to run it: shown by putting it in."""
    page = tmp_path / "broken.html"
    text = render_graph(every_outcome(), "html")
    hole = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
    page.write_text(text.replace("<main>", f"{hole}<main>"), encoding="ascii")
    browser.open(page.as_uri())
    assert browser.run("return document.title") == "demo 1.0: who needs what"
    violations = browser.messages()
    assert len(violations) >= 3
    assert all("Content Security Policy" in each for each in violations)


def test_svg_runs_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    """The image of hostile names opens by itself as XML, with all cards and no dialog."""
    image = tmp_path / "graph.svg"
    image.write_text(render_graph(hostile(), "svg"), encoding="ascii")
    browser.open(image.as_uri())
    assert browser.dialog() is None
    assert browser.run("return document.documentElement.tagName") == "svg"
    assert browser.run("return document.querySelectorAll('.card').length") >= 4 * len(HOSTILE)
    assert browser.messages() == []


def test_pure_python_is_said_to_be(browser: Browser, tmp_path: Path) -> None:
    """Without an ELF file the page says that there is nothing to link, and shows no picture."""
    show(browser, tmp_path, make_plan({}))
    assert browser.texts(".notice h2") == ["No ELF files"]
    assert browser.run("return document.getElementById('canvas').offsetParent") is None
    assert browser.messages() == []


def test_all_is_well_is_said_too(browser: Browser, tmp_path: Path) -> None:
    """Where nothing is missing, the page says so."""
    show(browser, tmp_path, make_plan({"a.so": ()}))
    assert browser.texts(".notice h2") == ["Every need is met"]


def busy(browser: Browser) -> float:
    """Give the seconds of processor time that the page's main thread has taken so far."""
    metrics = browser.devtools("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def test_a_large_wheel_is_quick(browser: Browser, tmp_path: Path) -> None:
    """300 files and 2,000 needs: loading takes less than two seconds, a key or a click 0.2.

    Of processor time: other work on the machine doesn't count.
    """
    browser.devtools("Performance.enable", timeDomain="threadTicks")
    start = busy(browser)
    show(browser, tmp_path, huge())
    assert 0 < busy(browser) - start < 2
    assert len(items(browser)) == 250
    start = busy(browser)
    browser.run(
        "const s = document.getElementById('search');"
        "for (const each of ['l', 'li', 'lib', '']) {"
        "  s.value = each; s.dispatchEvent(new Event('input')); document.body.offsetHeight; }"
    )
    assert 0 < (busy(browser) - start) / 4 < 0.2
    (first, *_) = items(browser)
    start = busy(browser)
    browser.click("#list .item")
    wait_for(browser, "#one h2", first)
    assert 0 < busy(browser) - start < 0.2
    browser.devtools("Performance.disable")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """In light and dark mode all text has the contrast that WCAG 2.1 asks for (1.4.3: 4.5)."""
    browser.devtools(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    show(browser, tmp_path, every_outcome())
    worst = browser.run(_CONTRAST)
    assert worst[0] >= 4.5, worst
    browser.click("#list .item.missing")
    wait_for(browser, "#one h2", "libmissing.so.1")
    worst = browser.run(_CONTRAST)
    assert worst[0] >= 4.5, worst
    dark = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(20, 23, 26)") is (scheme == "dark")
    browser.devtools("Emulation.setEmulatedMedia", features=[])


#: The lowest contrast of any text with what lies under it, and which text that is.
_CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[0-9.]+/g).map(Number).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const under = (element) => {
  if (element instanceof SVGElement && element.closest('.card'))
    return getComputedStyle(element.closest('.card').querySelector('rect')).fill;
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== 'rgba(0, 0, 0, 0)') return colour;
  }
  return 'rgb(255, 255, 255)';
};
let worst = [99, ''];
for (const element of document.body.querySelectorAll('*')) {
  const text = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!text || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const svg = element instanceof SVGElement;
  const pair = [light(svg ? style.fill : style.color), light(under(element))].sort((a, b) => b - a);
  const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (contrast < worst[0]) worst = [contrast, `${element.tagName}: ${element.textContent}`];
}
return worst;
"""


def test_narrow_windows_have_no_sideways_scroll(browser: Browser, tmp_path: Path) -> None:
    """On a telephone everything is one column."""
    browser.devtools(
        "Emulation.setDeviceMetricsOverride",
        width=390, height=844, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    show(browser, tmp_path, hostile())
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    assert browser.run(fits)
    browser.click("#list .item")
    wait(browser, "return !document.getElementById('one').hidden")
    assert browser.run(fits)
    browser.devtools("Emulation.clearDeviceMetricsOverride")


def wait(browser: Browser, script: str) -> None:
    """Wait until a script says yes: a change of the address is told to the page later."""
    end = time.monotonic() + 10
    while not browser.run(script):
        assert time.monotonic() < end, script
        time.sleep(0.02)


def wait_for(browser: Browser, selector: str, text: str) -> None:
    """Wait until the elements have this text."""
    end = time.monotonic() + 10
    while browser.texts(selector) != [text]:
        assert time.monotonic() < end, browser.texts(selector)
        time.sleep(0.02)
