"""The page of unproven facts stays true to the code it names."""

import re

from django.conf import settings

from markets.services import venue_check

PAGE = (settings.BASE_DIR / "docs" / "venue.md").read_text()


def test_every_file_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.py|\w+\.py)`", PAGE))
    assert len(named) > 20
    places = ("", "markets/venue/", "markets/venue/polymarket/")
    missing = {name for name in named if not any((settings.BASE_DIR / place / name).is_file() for place in places)}
    assert missing == set()


def test_every_open_point_has_its_row_and_every_row_its_point() -> None:
    named = set(re.findall(r"`venue_check`: ([\w-]+)", PAGE)) | set(
        re.findall(r"`venue_check`: [\w-]+, ([\w-]+)", PAGE)
    )
    points = {point.name for point in venue_check.POINTS}
    assert named - {"and", "twice"} <= points
    assert points - named <= {"market", "region"}
