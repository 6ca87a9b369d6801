"""Pictures of every page, for people to look at: `make pictures`."""

import os
import re
from pathlib import Path

import pytest

from tests.browser.pages import PAGES

DIRECTORY = os.environ.get("SCREENSHOTS")
LOCALE = os.environ.get("SCREENSHOTS_LOCALE", "en-GB")
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}


@pytest.mark.skipif(not DIRECTORY, reason="takes minutes and checks nothing: make pictures")
@pytest.mark.parametrize("shown", PAGES if DIRECTORY else [], ids=str)
def test_take_pictures(visit, request, shown):
    panel = request.getfixturevalue("live_empty" if shown.empty else "live")
    page = visit(shown.who, shown.path, panel, locale=LOCALE).page
    if shown.then:
        shown.then(page)
    name = re.sub(r"\W+", "-", str(shown))
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate("scrollTo(0, 0)")  # or what is sticky stands in the middle
            page.screenshot(path=Path(DIRECTORY) / f"{name}.{size}.{scheme}.png", full_page=True)
