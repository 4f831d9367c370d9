"""The picture of the dial's frontier."""

from __future__ import annotations

import re

from evaluation.frontier_chart import render_frontier

ROWS = [
    ["1", "-1", "0.0900", "0.500", "0.02", "600"],
    ["1", "0", "0.0800", "0.700", "0.08", "450"],
    ["1", "1", "0.0400", "0.900", "0.30", "200"],
    ["20", "-1", "0.1400", "0.900", "0.01", "900"],
    ["20", "0", "0.1200", "1.200", "0.05", "800"],
    ["20", "1", "0.1000", "1.300", "0.07", "700"],
]


def test_each_length_is_a_line_with_a_dot_for_each_point_and_the_default_is_large():
    svg = render_frontier({"rows": ROWS})
    assert svg.startswith("<svg") and svg.endswith("</svg>\n")
    assert svg.count("<polyline") == 2
    sizes = re.findall(r' r="(\d)"', svg)
    assert (sizes.count("7"), sizes.count("4")) == (2, 4)
    assert "after 1 film<" in svg
    assert "after 20 films<" in svg
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert places[0][1] < places[2][1]  # more found is higher
    assert places[0][0] < places[2][0]
    assert all(0 < x < 760 and 0 < y < 470 for x, y in places)


def test_the_picture_depends_on_the_figures_alone():
    assert render_frontier({"rows": ROWS}) == render_frontier({"rows": ROWS})
