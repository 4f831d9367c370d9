"""The motifs of posters. The order is part of the drawing: a film's hash chooses by number."""

from movie.catalogue.posters import patterns, scenes
from movie.catalogue.posters.brush import Motif

MOTIFS: tuple[Motif, ...] = (
    patterns.arcs,
    patterns.stripes,
    patterns.grid,
    scenes.horizon,
    scenes.spotlight,
    scenes.stairs,
    patterns.orbit,
    scenes.windows,
    scenes.eye,
    scenes.peaks,
    scenes.waves,
    scenes.road,
    patterns.rays,
    scenes.doors,
    scenes.reel,
    patterns.overlap,
    patterns.blinds,
    patterns.spiral,
    scenes.skyline,
    patterns.tiles,
    patterns.halves,
    patterns.bolt,
)
