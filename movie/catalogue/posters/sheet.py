"""The sheet a poster is printed on, in units of its drawing."""

DRAWING = "2"  # raise it when posters are drawn differently: addresses and ETags carry it
WIDTH, HEIGHT = 240, 360
MARGIN = 16
MEASURE = WIDTH - 2 * MARGIN
FOOT_RULE, FOOT_LINE = 328, 347
FOOT_SIZE = 15
