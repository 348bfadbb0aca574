"""`{% demo_people as people %}`: who the demo's sign-in page lets in. Nobody where there is no demo."""

from django import template
from django.conf import settings

from polyhub import demo

register = template.Library()


@register.simple_tag
def demo_people() -> tuple[demo.Person, ...]:
    return demo.CAST if settings.DEMO else ()
