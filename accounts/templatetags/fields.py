"""`{% control field %}`: a form field as Tabler draws it, with its error and its help beside it."""

from django import forms, template
from django.forms.boundfield import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """The input alone; label, help and error are the template's."""
    widget = field.field.widget
    if isinstance(widget, forms.CheckboxInput | forms.RadioSelect | forms.CheckboxSelectMultiple):
        css = "form-check-input"
    elif isinstance(widget, forms.Select):
        css = "form-select"
    else:
        css = "form-control"
    attributes: dict[str, str | bool] = {"class": f"{css} is-invalid" if field.errors else css}
    described = " ".join(
        name
        for name, present in ((f"{field.auto_id}_help", field.help_text), (f"{field.auto_id}_error", field.errors))
        if present
    )
    if described:
        attributes["aria-describedby"] = described
    return field.as_widget(attrs=attributes)


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, forms.CheckboxInput)


@register.filter
def is_choice_list(field: BoundField) -> bool:
    return isinstance(field.field.widget, forms.RadioSelect | forms.CheckboxSelectMultiple)
