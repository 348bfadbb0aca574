from django.apps import AppConfig


class RiskmgmtConfig(AppConfig):
    name = "riskmgmt"
    default_auto_field = "django.db.models.BigAutoField"
