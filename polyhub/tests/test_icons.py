import pytest
from django.template import TemplateSyntaxError

from polyhub.templatetags.icons import icon


def test_an_icon_is_one_inline_svg_hidden_from_screen_readers() -> None:
    drawn = icon("wallet", "me-1")
    assert drawn.startswith('<svg class="icon me-1" aria-hidden="true"')
    assert drawn.count("class=") == 1
    assert drawn.endswith("</svg>")


@pytest.mark.parametrize("name", ["no-such-icon", "../filled/star", ""])
def test_an_unknown_icon_fails_loudly(name: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        icon(name)
