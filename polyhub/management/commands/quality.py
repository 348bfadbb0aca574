"""`hub check`: everything that can be known without running the tests. All steps run; any failure fails the whole."""

import os
import secrets
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

# What a server behind HTTPS sets; `check --deploy` judges these, not the one-machine defaults.
DEPLOYED = {"BEHIND_HTTPS": "true", "ALLOWED_HOSTS": "polyhub.example", "POLYHUB_DEBUG": "false"}

STEPS: dict[str, tuple[str, ...]] = {
    "format": ("-m", "ruff", "format", "--check", "."),
    "lint": ("-m", "ruff", "check", "."),
    "imports": ("-c", "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"),
    "types": ("-m", "mypy", "."),
    "migrations": ("manage.py", "makemigrations", "--check", "--dry-run"),
    "deployment": ("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
}


class Command(BaseCommand):
    help = "Format, lint, import contracts, types, migrations and deployment checks."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        failed = [name for name, step in STEPS.items() if not self._passes(name, step)]
        if failed:
            raise CommandError(f"failed: {', '.join(failed)}")
        self.stdout.write("All checks pass.")

    def _passes(self, name: str, step: tuple[str, ...]) -> bool:
        began = time.monotonic()
        env = {**os.environ, **(_deployed() if name == "deployment" else {})}
        done = subprocess.run(
            [sys.executable, *step],
            cwd=settings.BASE_DIR,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        verdict = "ok" if done.returncode == 0 else "FAILED"
        self.stdout.write(f"{name:<11} {verdict} ({time.monotonic() - began:.1f} s)")
        if done.returncode != 0:
            self.stdout.write(done.stdout)
        return done.returncode == 0


def _deployed() -> dict[str, str]:
    return {**DEPLOYED, "SECRET_KEY": secrets.token_urlsafe(64), "FIELD_SECRET": secrets.token_urlsafe(64)}
