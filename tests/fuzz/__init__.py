"""Mutated requests to every address of the site, seeded: whatever is sent, no answer is a 5xx.

`python -m tests.fuzz` sends 10,000 of them.
"""
