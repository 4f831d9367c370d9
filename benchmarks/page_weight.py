"""What pages weigh and how soon a slow phone shows them: elements, bytes, largest contentful paint.

    python -m benchmarks.page_weight [--repeats 3] [--pages / /recommend/] [--data-dir FOLDER]

Makes a site with MovieLens 100K and the quick models (about 25 CPU-s; --data-dir keeps it for the next time),
puts something behind every address, and opens each page that a guest, a member or staff can see, in Chromium
as a phone of 390 x 844 whose processor is slowed four times. Nothing is in the browser's cache. Figures are
medians of the repeats:

    elements  of the document, menus and dialogs included
    KB        all that was transferred until the page was quiet: HTML, styles, scripts, posters, as compressed
              (1 KB is 1,000 bytes), with headers; `scrolled` goes to the end of the page, for lazy posters
    LCP       ms from the navigation to the largest contentful paint, and how many times that of a page of one
              sentence, opened in turn with it: what else the machine does falls on both

Exits with 1 when a page is beyond a limit: LCP, in times of that page, on every page; elements and bytes on
the home page. The baselines of the other ratios are these limits. --quick opens the home page alone, on a
site with the first models alone, and gives up after three minutes of an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._browser import CHROMIUM, CHROMIUM_FLAGS, only, pages_by_visitor, sign_in
from benchmarks._command import (
    QUICK_SECONDS,
    CouldNotMeasure,
    argument_parser,
    end_within,
    parse_options,
    print_ratio,
    run,
)
from benchmarks._serving import Served, demo_site, manage

PHONE = {"width": 390, "height": 844}
SLOWED = 4  # times
MOST_ELEMENTS, MOST_BYTES, MOST_LCP = 1500, 100_000, 6.0  # LCP in times of SENTENCE's
QUIET_SECONDS, PATIENCE_SECONDS = 0.5, 60.0
OBSERVE = """
new PerformanceObserver((list) => { window.largestPaint = list.getEntries().at(-1).startTime; })
  .observe({ type: "largest-contentful-paint", buffered: true });
"""
SCROLL = """
async () => {
  for (let top = 0; top < document.body.scrollHeight; top += 400) {
    window.scrollTo(0, top);
    await new Promise((next) => setTimeout(next, 30));
  }
}
"""
SENTENCE = "<!doctype html><html lang=en><title>A page</title><p>A page of one sentence.</p></html>"
POPULATE = "from tests.populated_site import print_populated; print_populated()"


class Weight(NamedTuple):
    """The figures of one page: elements, bytes as opened and after scrolling to its end, LCP in ms.

    `baseline` is the LCP of SENTENCE at the same time, 0 where that was not measured.
    """

    elements: int
    opened: int
    scrolled: int
    lcp: float
    baseline: float = 0.0


def weigh(browser: Any, site: str, address: str, populated: dict[str, Any], who: str) -> Weight:
    """Open a page with an empty cache on the slowed phone of a visitor and measure it.

    Raises CouldNotMeasure where the browser reports no largest contentful paint.
    """
    context = browser.new_context(
        base_url=site, viewport=PHONE, locale="en", has_touch=True, is_mobile=True, device_scale_factor=2
    )
    sign_in(context, site, populated, who)
    context.add_init_script(OBSERVE)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    try:
        page = context.new_page()
        tools = context.new_cdp_session(page)
        traffic = _Traffic(tools)
        tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        page.goto(address, wait_until="load")
        traffic.wait_until_quiet(page)
        lcp, opened = page.evaluate("window.largestPaint ?? 0"), traffic.received
        if not lcp:
            raise CouldNotMeasure(f"{address} has no largest contentful paint for a {who}")
        elements = page.evaluate("document.querySelectorAll('*').length")
        tools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        page.evaluate(SCROLL)
        traffic.wait_until_quiet(page)
        return Weight(elements, opened, traffic.received, lcp)
    finally:
        context.close()


def lcp_of_sentence(browser: Any, site: str) -> float:
    """Return the LCP in ms of SENTENCE on the slowed phone, as if the site sent it."""
    context = browser.new_context(base_url=site, viewport=PHONE, is_mobile=True, device_scale_factor=2)
    context.add_init_script(OBSERVE)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    try:
        page = context.new_page()
        page.route("**/*", lambda route: route.fulfill(body=SENTENCE, content_type="text/html"))
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        page.goto("/sentence", wait_until="load")
        page.wait_for_function("window.largestPaint > 0")
        return page.evaluate("window.largestPaint")
    finally:
        context.close()


class _Traffic:
    """Counts the bytes that a page received, as compressed and with headers."""

    def __init__(self, tools: Any) -> None:
        self.received, self._waiting, self._last = 0, set(), time.monotonic()  # type: int, set[str], float
        tools.on("Network.requestWillBeSent", self._sent)
        tools.on("Network.loadingFinished", self._finished)
        tools.on("Network.loadingFailed", self._finished)
        tools.send("Network.enable")
        tools.send("Network.setCacheDisabled", {"cacheDisabled": False})

    def _sent(self, event: dict[str, Any]) -> None:
        self._waiting.add(event["requestId"])
        self._last = time.monotonic()

    def _finished(self, event: dict[str, Any]) -> None:
        self._waiting.discard(event["requestId"])
        self.received += int(event.get("encodedDataLength", 0))
        self._last = time.monotonic()

    def wait_until_quiet(self, page: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            page.wait_for_timeout(100)
            if not self._waiting and time.monotonic() - self._last > QUIET_SECONDS:
                return
        raise TimeoutError(f"{page.url} goes on loading")


def median_weight(weights: Sequence[Weight]) -> Weight:
    return Weight(*(statistics.median(values) for values in zip(*weights, strict=True)))


def beyond_limits(address: str, weight: Weight) -> list[str]:
    """Return the limits that a page breaks, in words."""
    broken = []
    if weight.lcp > MOST_LCP * weight.baseline:
        broken.append(f"LCP {weight.lcp:.0f} ms, {MOST_LCP:g} times {weight.baseline:.0f} at most")
    if address == "/" and weight.elements > MOST_ELEMENTS:
        broken.append(f"{weight.elements} elements of {MOST_ELEMENTS}")
    if address == "/" and weight.scrolled > MOST_BYTES:
        broken.append(f"{weight.scrolled} bytes of {MOST_BYTES}")
    return broken


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="of each page")
    parser.add_argument("--pages", nargs="*", default=[], help="only these addresses")
    parser.add_argument("--data-dir", type=Path, help="of the site; made there if it is empty")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parse_options(parser, pages=["/"])
    if CHROMIUM is None or find_spec("playwright") is None:
        raise CouldNotMeasure("Chromium and the package playwright are needed")
    if options.quick:
        end_within(QUICK_SECONDS)
    with demo_site(options.data_dir, is_quick=options.quick) as environment:
        manage(environment, "collectstatic", "--no-input", "--verbosity", "0")
        populated = _populated(environment)
        with Served(environment) as site:
            figures = _measure("http://{}:{}".format(*site.address), populated, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if not figures:
        raise CouldNotMeasure("nobody can open these pages")
    for who, address, weight in figures:
        if address == "/":
            print_ratio(
                f"page_weight: bytes of home, {who}", weight.scrolled / MOST_BYTES, "the limit", "at most 1"
            )
            print_ratio(
                f"page_weight: LCP of home, {who}",
                weight.lcp / weight.baseline,
                "a page of one sentence",
                f"at most {MOST_LCP:g}",
            )
            print_ratio(
                f"page_weight: elements of home, {who}",
                weight.elements / MOST_ELEMENTS,
                "the limit",
                "at most 1",
            )
    broken = [(who, address, beyond_limits(address, weight)) for who, address, weight in figures]
    broken = [each for each in broken if each[2]]
    for who, address, limits in broken:
        sys.stderr.write(f"beyond: {who} {address}: {', '.join(limits)}\n")
    return bool(broken)


def _populated(environment: dict[str, str]) -> dict[str, Any]:
    """Return the addresses of the site and the cookies of its visitors; see `tests.populated_site`."""
    return json.loads(manage(environment, "shell", "--verbosity", "0", "-c", POPULATE).splitlines()[-1])


def _measure(
    site: str, populated: dict[str, Any], options: argparse.Namespace
) -> list[tuple[str, str, Weight]]:
    from playwright.sync_api import sync_playwright

    figures: list[tuple[str, str, Weight]] = []
    print(f"load average before: {os.getloadavg()[0]:.1f}; limits: home {MOST_ELEMENTS} elements and")
    print(
        f"{MOST_BYTES / 1000:.0f} KB in all, LCP {MOST_LCP:g} times a sentence's on every page at {SLOWED}x"
    )
    print(f"{'':8}{'':44}{'elements':>9}{'KB':>8}{'scrolled':>10}{'LCP ms':>9}{'times':>7}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        asked = {**populated, "addresses": only(populated["addresses"], options.pages)}
        for who, addresses in pages_by_visitor(browser, site, asked).items():
            for address in only(addresses, options.pages):
                weights = [
                    weigh(browser, site, address, populated, who)._replace(
                        baseline=lcp_of_sentence(browser, site)
                    )
                    for _ in range(options.repeats)
                ]
                weight = median_weight(weights)
                figures.append((who, address, weight))
                sizes = f"{weight.opened / 1000:>8.1f}{weight.scrolled / 1000:>10.1f}"
                lcp = f"{weight.lcp:>9.0f}{weight.lcp / weight.baseline:>7.1f}"
                print(f"{who:8}{address[:43]:44}{weight.elements:>9.0f}{sizes}{lcp}", flush=True)
        browser.close()
    print(f"load average after: {os.getloadavg()[0]:.1f}")
    return figures


if __name__ == "__main__":
    run(main)
