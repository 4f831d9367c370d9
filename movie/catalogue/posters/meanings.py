"""The motifs that suit a film: first those of words in its title, then those of its genres."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import zip_longest

from movie.catalogue.posters.dice import Dice
from movie.catalogue.posters.inks import by_rarity

# Words of titles, in the order in which they count; "houses" and "house's" are "house".
WORDS: dict[str, str] = {
    "fin": "jaws shark",
    "clock": "clock time hour minute noon midnight future past yesterday tomorrow",
    "piano": "piano music song opus opera symphony jazz blues band sing singing singin' concert dance "
    "dancing amadeus beethoven",
    "keyhole": "key secret confidential locked",
    "crown": "king queen prince princess emperor empire crown royal",
    "sword": "sword knight grail excalibur camelot musketeer mohican highlander robin braveheart",
    "castle": "castle tower palace fortress kingdom cinderella dracula frankenstein rock",
    "letter": "letter mail postman list note",
    "mask": "mask phantom face clown circus birdcage charade disguise",
    "heart": "heart love lover loved valentine romance romeo juliet wedding marriage bride kiss venus",
    "flower": "flower rose daisy garden magnolia orchid spring blossom beauty",
    "starfield": "star galaxy space universe cosmic contact encounter jedi stargate alien invasion "
    "extra-terrestrial",
    "orbit": "apollo moon earth world mars planet odyssey solaris",
    "plane": "air plane airplane airport flight flying wing pilot jet",
    "ship": "ship boat sail titanic bounty captain pirate treasure waterworld",
    "waves": "sea ocean water wave river lake beach tide fish swim mermaid undersea abyss island",
    "umbrella": "rain umbrella storm weather cloud",
    "bolt": "lightning thunder twister tornado volcano shock electric speed storm",
    "flames": "fire flame burning hell inferno heat dante hot",
    "trees": "tree forest wood jungle wild park blair",
    "peaks": "mountain hill cliff cliffhanger everest tibet",
    "mesa": "desert canyon arabia unforgiven dune",
    "road": "road highway drive driver car trip journey way ride wheel walking",
    "rails": "train trainspotting rail railway station express",
    "windows": "window house home room apartment hotel tenant neighbor building",
    "doors": "door gate",
    "stairs": "stair step climb rising ladder redemption",
    "skyline": "city town street boulevard metropolis york manhattan chicago vegas l.a. hollywood casablanca "
    "philadelphia chinatown paris rome",
    "spotlight": "show stage broadway cabaret fame candidate boogie eve",
    "reel": "cinema film movie picture paradiso player projector",
    "eye": "eye sight look watch vision witness ransom",
    "moonlight": "night dark dream nightmare vampire sleeping sleepless werewolf batman",
    "horizon": "sun sunset sunrise dawn day west dusk summer wind",
    "birds": "bird crow eagle falcon cuckoo swan nest duck chicken raven",
    "paw": "dog cat pig lion bear wolf wolves monkey ape horse lamb mouse dalmatian fox beast",
    "balloons": "balloon party birthday toy child children childhood baby babies willy up",
    "chequers": "chess game casino card hustler maverick board",
    "target": "target gun bullet kill killer killing murder murdered die shot sniper hunt hunting assassin "
    "fugitive professional terminator",
    "compass": "raiders quest search lost map explorer crusade adventure expedition",
    "overlap": "two twin twelve double mirror pair between couple face/off liar met sensibility",
    "spiral": "vertigo spiral conspiracy mad madness crazy insane fear",
    "blinds": "shadow noir detective suspect sleep indemnity",
    "book": "book story tale dictionary poet shakespeare novel diary library fiction",
    "rays": "glory light god bright shining shine",
}

GENRES: dict[str, tuple[str, ...]] = {
    "action": ("bolt", "target", "rays", "stripes", "flames", "plane"),
    "adventure": ("compass", "peaks", "ship", "road", "castle", "birds"),
    "animation": ("balloons", "arcs", "paw", "halves", "moonlight", "tiles"),
    "children": ("balloons", "paw", "arcs", "castle", "tiles", "flower"),
    "comedy": ("halves", "mask", "tiles", "umbrella", "arcs", "balloons", "stripes"),
    "crime": ("target", "blinds", "skyline", "keyhole", "stairs", "chequers"),
    "documentary": ("reel", "grid", "eye", "stripes", "compass"),
    "drama": ("windows", "stairs", "horizon", "overlap", "letter", "trees", "doors", "grid"),
    "fantasy": ("moonlight", "castle", "crown", "starfield", "keyhole"),
    "film-noir": ("blinds", "spotlight", "stairs", "umbrella", "skyline"),
    "horror": ("moonlight", "trees", "doors", "eye", "castle", "spiral"),
    "musical": ("piano", "spotlight", "rays", "arcs", "umbrella"),
    "mystery": ("keyhole", "spiral", "eye", "doors", "blinds", "letter"),
    "romance": ("heart", "flower", "overlap", "letter", "horizon", "umbrella"),
    "sci-fi": ("orbit", "starfield", "grid", "arcs", "spiral", "rays"),
    "thriller": ("spiral", "target", "stairs", "keyhole", "eye", "bolt"),
    "war": ("rays", "birds", "stripes", "flames", "letter", "plane"),
    "western": ("mesa", "horizon", "road", "rails", "target"),
}
PLAIN = ("arcs", "stripes", "grid", "overlap", "halves", "tiles", "windows", "horizon", "rays", "spiral")
MOST_CHOICES = 9  # more than any row has neighbours
_WORD = re.compile(r"[^\W\d_]+(?:['./-][^\W\d_]+)*[.']?")
_MOTIF_OF = {word: motif for motif in reversed(WORDS) for word in WORDS[motif].split()}
_IN_ORDER = {motif: place for place, motif in enumerate(WORDS)}


@lru_cache(maxsize=8192)
def motifs_for(title: str, genres: Sequence[str]) -> tuple[str, ...]:
    """Return the names of motifs that suit a film, the best first, MOST_CHOICES of them.

    `genres` is a tuple. The same film has the same choices on every machine.
    """
    dice = Dice("motif", title)
    named = {motif for word in _words(title) if (motif := _MOTIF_OF.get(word))}
    chosen = sorted(named, key=_IN_ORDER.__getitem__)
    suited = [_turned(GENRES[genre], dice) for genre in by_rarity(genres)]
    for motifs in zip_longest(*suited):  # the first of each genre, then the second of each
        chosen += filter(None, motifs)
    chosen += _turned(PLAIN, dice)
    return tuple(dict.fromkeys(chosen))[:MOST_CHOICES]


def _turned(motifs: tuple[str, ...], dice: Dice) -> tuple[str, ...]:
    """Return the motifs in their order, beginning with one that the dice choose."""
    start = dice.below(len(motifs))
    return motifs[start:] + motifs[:start]


def _words(title: str) -> Iterable[str]:
    for word in _WORD.findall(title.casefold().replace("’", "'")):
        yield word
        yield word.removesuffix("'s").removesuffix("s")


def without_repeats(
    films: Iterable[tuple[str, Sequence[str]]], neighbours: int = MOST_CHOICES - 2
) -> list[int]:
    """Return which choice of `motifs_for` each film of a list takes, 0 for the first.

    No motif is seen twice among a film and the `neighbours` before it.
    """
    taken: list[str] = []
    choices = []
    for title, genres in films:
        motifs = motifs_for(title, tuple(genres))
        recent = taken[-neighbours:]
        choice = next(place for place, motif in enumerate(motifs) if motif not in recent)
        choices.append(choice)
        taken.append(motifs[choice])
    return choices


def motif_of(title: str, genres: Sequence[str], choice: int) -> str:
    """Return the name of the motif at a choice; one too large gives the first."""
    motifs = motifs_for(title, tuple(genres))
    return motifs[choice if 0 <= choice < len(motifs) else 0]
