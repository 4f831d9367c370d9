#!/usr/bin/env python
"""Django's command line."""

from webapp.__main__ import main

if __name__ == "__main__":
    main()
