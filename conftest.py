"""Every test runs on the database we deploy: the embedded PostgreSQL, unless DATABASE_URL names another."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polyhub.settings")

from django.conf import settings

from polyhub import postgres

if settings.EMBEDDED:
    postgres.ensure_running(settings.VAR_DIR)
