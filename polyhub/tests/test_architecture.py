"""The laws an import linter cannot see."""

import subprocess
import sys
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db.models import PROTECT, ForeignKey, OneToOneField

# Lower number = lower in the stack; a foreign key may only point down or stay level.
LEVELS = {"lib": 0, "accounts": 1, "markets": 1, "scanner": 2, "riskmgmt": 2, "trading": 3, "copytrade": 4}
OURS = set(LEVELS)


def test_foreign_keys_point_down_the_import_order() -> None:
    wrong = []
    for model in apps.get_models():
        if model._meta.app_label not in OURS:
            continue
        for field in model._meta.get_fields():
            if isinstance(field, ForeignKey | OneToOneField) and field.related_model is not None:
                target = field.related_model._meta.app_label
                own = model._meta.app_label
                if target in OURS and target != own and LEVELS[target] >= LEVELS[own]:
                    wrong.append(f"{model._meta.label}.{field.name} -> {target}")
    assert wrong == []


def test_money_rows_cannot_be_deleted_by_a_cascade() -> None:
    for label in ("trading.Order", "trading.Fill", "trading.Position", "trading.Balance", "copytrade.CopyDecision"):
        for field in apps.get_model(label)._meta.get_fields():
            if isinstance(field, ForeignKey | OneToOneField) and field.remote_field.parent_link is False:
                assert field.remote_field.on_delete is PROTECT, f"{label}.{field.name}"


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run(
        [str(linter)], cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:]
