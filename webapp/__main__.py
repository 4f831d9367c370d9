"""The command line of the site: `manage.py` of a checkout, `reelgraph` of an installed wheel."""

import os
import sys


def main() -> None:
    """Run a command of Django. Exits with one line where a package that only training needs is missing."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    from django.core.management import execute_from_command_line

    from predictors.packages import missing_package_line

    try:
        execute_from_command_line(sys.argv)
    except ModuleNotFoundError as error:
        if line := missing_package_line(error):
            sys.exit(line)
        raise


if __name__ == "__main__":
    main()
