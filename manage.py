#!/usr/bin/env python
"""Django's command line. Starts the embedded PostgreSQL first, for commands that need a database."""

import os
import sys

WITHOUT_DATABASE = {"collectstatic", "findstatic", "help", "postgres", "run_sandbox", "status", "version", "quality"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polyhub.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        if needs_database(sys.argv[1:]):
            _start_database()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"A setting is not as it must be. {error}\nSettings come from the environment; see .env.example.")


def needs_database(arguments: list[str]) -> bool:
    """False for commands that only print or only touch files."""
    if not arguments or arguments[0] in WITHOUT_DATABASE or arguments[0].startswith("-"):
        return False
    return not {"-h", "--help"} & set(arguments)


def _start_database() -> None:
    from django.conf import settings

    from polyhub import postgres

    if settings.EMBEDDED:
        try:
            postgres.ensure_running(settings.VAR_DIR)
        except postgres.PostgresFailed as error:
            sys.exit(f"The database did not start. {error}")


if __name__ == "__main__":
    main()
