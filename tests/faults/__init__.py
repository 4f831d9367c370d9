"""A whole deployment on this machine that is broken on purpose while visitors use it.

`python -m tests.faults` runs the long form and prints what came of every acknowledged interaction.
"""
