from django.apps import AppConfig


class LibConfig(AppConfig):
    name = "polyhub.lib"
    label = "lib"
    verbose_name = "Services and push events"
    default_auto_field = "django.db.models.BigAutoField"
