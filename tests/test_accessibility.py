"""axe-core finds nothing on any page that a guest, a member or staff can open, and each page fits phones.

Pages are those of the address table, without Django's admin and without answers for programs. Each is opened
by the first of the three who may; a member and staff open the pages that show their own things, too. The
markup that Swagger UI draws in the reference of the API is not ours and left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks._browser import WHO
from tests.test_journey import DESK
from tests.test_phone import WIDTHS, misfits_on, open_on_phone, size

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RUN = """
async (rules) => {
  const only = rules ? { runOnly: { type: "rule", values: rules } } : {};
  const found = await axe.run({ exclude: [[".swagger-ui"]] }, { resultTypes: ["violations"], ...only });
  return found.violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary.split("\\n").slice(1).join("; ").trim()}`));
}
"""
IS_DRAWN = '!document.querySelector("#swagger-ui") || document.querySelector(".swagger-ui .info")'
OPEN_DETAILS = 'document.querySelectorAll("details").forEach((each) => { each.open = true; })'
OF_COLOURS = ["color-contrast", "link-in-text-block"]


@pytest.mark.parametrize("who", WHO)
def test_axe_finds_nothing_on_any_page_and_it_fits_phones(open_page, pages, who):
    findings = []
    with open_page(who, viewport=size(WIDTHS[0]), has_touch=True, reduced_motion="reduce") as page:
        for address in pages[who]:
            open_on_phone(page, address)
            findings += misfits_on(page, address)
            page.set_viewport_size(DESK)
            findings += [f"{address} {each}" for each in findings_on(page)]
    assert not findings, "\n".join(findings)
    assert len(pages[who]) >= {"guest": 30, "member": 15, "staff": 10}[who], pages


def findings_on(page: Any) -> list[str]:
    """Return what axe finds with every menu open, and what it says of colours in the dark."""
    page.wait_for_function(IS_DRAWN)
    page.evaluate(AXE)
    page.evaluate(OPEN_DETAILS)
    page.emulate_media(color_scheme="light")
    found = page.evaluate(RUN, None)
    page.emulate_media(color_scheme="dark")
    return found + [f"dark {each}" for each in page.evaluate(RUN, OF_COLOURS)]
