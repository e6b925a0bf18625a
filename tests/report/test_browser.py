"""report.html in a real browser, at the widths of a screen and of a telephone."""
import pathlib
import shutil
import subprocess

from multibox.report.compare import compare_runs
from tests.support import reports
from tests.support.runs import write_run

import numpy as np
import pytest
from PIL import Image

CHROMIUM = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'
FIREFOX = 'firefox', 'firefox-esr'


def usable(name):
    """Whether a browser is installed, and not as a snap, which cannot read the test's files."""
    path = shutil.which(name)
    return path is not None and pathlib.Path(path).resolve().name != 'snap' \
        and b'/snap/bin' not in pathlib.Path(path).read_bytes()[:4096]


BROWSERS = [name for names in (CHROMIUM, FIREFOX) for name in list(filter(usable, names))[:1]]
HEIGHT = 600
# Every check must hold in the page. The colour of the screenshot tells the first that fails.
CHECKS = {
    'every section has its heading': '''[...document.querySelectorAll("section")].every(
        section => section.querySelector("h2").textContent) && document.querySelector("#s9")''',
    'every section takes room': '''[...document.querySelectorAll("section, figure, tr")].every(
        part => part.getBoundingClientRect().height > 10)''',
    'the contents lead to sections': '''[...document.querySelectorAll("nav a")].every(
        link => document.querySelector(link.getAttribute("href")).tagName == "SECTION")''',
    'every image is decoded': '''document.images.length == 8 && [...document.images].every(
        image => image.complete && image.naturalWidth > 0)''',
    'boxes lie in their images': '''[...document.querySelectorAll(".cut")].every(cut => {
        const image = cut.querySelector("img").getBoundingClientRect();
        return [...cut.querySelectorAll("rect")].every(rect => {
            const box = rect.getBoundingClientRect();
            return box.width > 5 && box.left >= image.left - 4 && box.right <= image.right + 4
                && box.top >= image.top - 4 && box.bottom <= image.bottom + 4; }); })''',
    'charts lie within the page': '''document.querySelectorAll(".chart").length == 6 &&
        [...document.querySelectorAll(".chart > svg")].every(part =>
            part.getBoundingClientRect().right <= document.documentElement.clientWidth)''',
    'every point has its values': '''[...document.querySelectorAll("circle")].every(
        point => point.querySelector("title").textContent.includes(" at "))''',
    'nothing is loaded': '''performance.getEntriesByType("resource").every(
        entry => entry.name.startsWith("data:"))''',
    'the page is not wider than its window':
        'document.documentElement.scrollWidth <= document.documentElement.clientWidth',
    'no text is cut off': '''[...document.querySelectorAll("figcaption, dd, dt, h1, h2")].every(
        part => part.scrollWidth <= part.clientWidth)''',
}
# The same for a comparison of runs.
COMPARISON = {
    'every line is drawn': '''document.querySelectorAll("polyline").length == 4
        && [...document.querySelectorAll("polyline")].every(line => {
            const box = line.getBoundingClientRect(), colour = getComputedStyle(line).stroke;
            return box.width > 100 && box.height > 5 && colour != "none"; })''',
    'the numbers of the axes lie in the picture': '''[...document.querySelectorAll("svg")].every(
        svg => [...svg.querySelectorAll("text")].every(text => {
            const box = text.getBoundingClientRect(), whole = svg.getBoundingClientRect();
            return box.left >= whole.left && box.right <= whole.right + 1
                && box.top >= whole.top && box.bottom <= whole.bottom; }))''',
    'every run has its colour': '''[...document.querySelectorAll(".swatch")].every(
        swatch => getComputedStyle(swatch).backgroundColor.match(/^rgb/))''',
    **{name: CHECKS[name] for name in (
        'every section takes room', 'every point has its values', 'nothing is loaded',
        'the page is not wider than its window', 'no text is cut off')}}
SCRIPT = '''<script>addEventListener("load", () => {
    const wrong = [CHECKS].findIndex(check => { try { return !check(); } catch { return true; } });
    document.body.innerHTML = "";
    document.documentElement.style.background = wrong < 0 ? "rgb(0, 255, 0)"
                                                          : `rgb(${10 * wrong}, 0, 0)`;
});</script>'''


def add_checks(page, checks):
    """The page with a script that runs the checks."""
    functions = ', '.join(f'() => {check}' for check in checks.values())
    return page.replace('</body>', SCRIPT.replace('CHECKS', functions) + '</body>')


def screenshot(browser, page, path, width):
    """The browser's picture of a page in a frame of ``width`` pixels, (H, W, 3) uint8."""
    frame = page.with_name('frame.html')  # a window is at least 450 pixels wide
    frame.write_text(f'<body style="margin: 0"><iframe src="{page.name}" style="border: 0; '
                     f'width: {width}px; height: {HEIGHT}px"></iframe>')
    home = path.parent / 'home'
    home.mkdir(exist_ok=True)
    flags = (['--headless', '--profile', home] if browser in FIREFOX else
             ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
              f'--user-data-dir={home}'])
    subprocess.run([browser, *flags, f'--screenshot={path}', frame.as_uri(),
                    f'--window-size={max(width, 500)},{HEIGHT}'],
                   check=True, capture_output=True, timeout=120)
    return np.array(Image.open(path).convert('RGB'))


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The path of a report with pictures of all kinds, to which the checks are added."""
    folder = tmp_path_factory.mktemp('browser')
    reports.write_log(folder)
    report = reports.write(folder, reports.make_data(folder))
    page = folder / 'checked.html'
    page.write_text(add_checks(report, CHECKS), encoding='utf-8')
    return page


@pytest.fixture(scope='module')
def comparison(tmp_path_factory):
    """The path of a comparison of two runs, to which the checks are added."""
    folder = tmp_path_factory.mktemp('comparison')
    page = folder / 'comparison.html'
    compare_runs([write_run(folder / name, mean_ap)
                  for name, mean_ap in (('short', .6), ('a name & more', .7))], page)
    page.write_text(add_checks(page.read_text(encoding='utf-8'), COMPARISON), encoding='utf-8')
    return page


needs_browser = pytest.mark.skipif(
    not BROWSERS, reason=f'none of {", ".join(CHROMIUM + FIREFOX)} is on PATH')


def first_wrong(browser, page, path, width, checks):
    """The name of the first check that fails, or None."""
    shown = screenshot(browser, page, path, width)
    red, green, _ = map(int, shown[HEIGHT // 2, width // 2])
    if (red, green) == (0, 255):
        return None
    return [*checks, 'the script has run'][red // 10 if not green else -1]


@needs_browser
@pytest.mark.parametrize('width', [1200, 400])
@pytest.mark.parametrize('browser', BROWSERS)
def test_a_browser_shows_all_of_it(browser, width, page, tmp_path):
    assert first_wrong(browser, page, tmp_path / 'shown.png', width, CHECKS) is None


@needs_browser
@pytest.mark.parametrize('width', [1200, 400])
@pytest.mark.parametrize('browser', BROWSERS)
def test_a_browser_shows_a_comparison(browser, width, comparison, tmp_path):
    assert first_wrong(browser, comparison, tmp_path / 'shown.png', width, COMPARISON) is None
