"""How long after a keystroke the shape table is the new one, in the browser.

    python tests/bench_studio.py [--spec nin_imagenet] [--strokes 40]

Types a digit into a block's channels and takes it back, again and again; the time runs from the key's event in
the page to the animation frame after the table changed, the server's work and both ways included.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from browsers import launched

sys.path.insert(0, str(Path(__file__).parent / "studio"))
from studio_process import VIEW, Tab, running

BAR = 100.0
_WATCH = """() => {
    window.times = [];
    let pressed = 0;
    addEventListener("keydown", (event) => { pressed = performance.now(); }, true);
    new MutationObserver(() => {
        const from = pressed;
        pressed = 0;
        if (from) requestAnimationFrame(() => times.push(performance.now() - from));
    }).observe(document.querySelector(".nin-table"), {childList: true, subtree: true, characterData: true});
}"""


def measure(tab: Tab, strokes: int) -> list[float]:
    """Milliseconds of each keystroke, the first ten left out."""
    page: Any = tab.page
    page.evaluate(
        f"() => {{ const v = {VIEW}; const at = v.state.doc.toString().indexOf('channels: 384') + 13;"
        " v.dispatch({selection: {anchor: at}}); v.focus(); }"
    )
    page.evaluate(_WATCH)
    for stroke in range(strokes + 10):
        page.keyboard.press("Backspace" if stroke % 2 == 0 else "4")
        page.wait_for_function(f"times.length > {stroke}", polling=5)
        page.wait_for_timeout(120)  # a person's pause
    return [float(t) for t in page.evaluate("times")][10:]


def main() -> int:
    """Print the figures; exit 1 when half of the strokes take longer than the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default="nin_imagenet")
    parser.add_argument("--strokes", type=int, default=40)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        launched() as browser,
        running(Path(folder), given.spec) as studio,
        Tab(browser, studio) as tab,
    ):
        tab.page.wait_for_timeout(1000)
        times = measure(tab, given.strokes)
    median, high = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(f"{given.spec}: keystroke to updated table, {len(times)} strokes")
    print(f"median {median:.0f} ms   95% below {high:.0f} ms   slowest {max(times):.0f} ms")
    print(f"median / bar of {BAR:.0f} ms = {median / BAR:.2f}   95% / bar = {high / BAR:.2f}")
    return int(median > BAR)


if __name__ == "__main__":
    sys.exit(main())
