"""System checks."""


def register_all() -> None:
    pass
