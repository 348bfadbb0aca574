"""`{% icon "wallet" %}`: one Tabler icon as inline SVG, so that a page carries only the icons it shows."""

import re
from functools import lru_cache

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

CLASS = re.compile(r'\sclass="[^"]*"')


@register.simple_tag
def icon(name: str, css: str = "", *, filled: bool = False) -> SafeString:
    """An icon of https://tabler.io/icons by name. Decoration only: put the meaning in text beside it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" {}', css, _drawing(name, "filled" if filled else "outline")
    )


@lru_cache(maxsize=512)
def _drawing(name: str, style: str) -> SafeString:
    if not name.replace("-", "").isalnum():
        raise template.TemplateSyntaxError(f"{name!r} is not the name of an icon.")
    path = settings.NODE_MODULES / "@tabler" / "icons" / "icons" / style / f"{name}.svg"
    try:
        svg = path.read_text()
    except FileNotFoundError:
        raise template.TemplateSyntaxError(f"There is no {style} icon {name!r}.") from None
    # The caller writes its own opening and class, so the file's go.
    inside = CLASS.sub("", svg[svg.index("<svg") + 4 :], count=1)
    return mark_safe(" ".join(inside.split()))  # noqa: S308 - a file of the pinned package, not input
