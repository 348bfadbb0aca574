"""Enum columns: the same StrEnum gives the choices and the database constraint."""

from enum import StrEnum

from django.db.models import CheckConstraint, Q


def choices_of(enum: type[StrEnum]) -> list[tuple[str, str]]:
    """`choices=` of a column that stores `enum`."""
    return [(member.value, member.value.replace("_", " ").capitalize()) for member in enum]


def one_of(field: str, enum: type[StrEnum], *, name: str) -> CheckConstraint:
    """The database refuses a value that the enum does not have."""
    return CheckConstraint(condition=Q(**{f"{field}__in": [member.value for member in enum]}), name=name)
