"""The sheet a poster is printed on, in units of its drawing."""

WIDTH, HEIGHT = 240, 360
MARGIN = 16
MEASURE = WIDTH - 2 * MARGIN
FOOT_RULE, FOOT_LINE = 328, 347
FOOT_SIZE = 15
