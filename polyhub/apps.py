from django.apps import AppConfig


class PolyhubConfig(AppConfig):
    """The project as an app, so that its commands and system checks are found."""

    name = "polyhub"
    label = "polyhub"

    def ready(self) -> None:
        from polyhub import checks

        checks.register_all()
