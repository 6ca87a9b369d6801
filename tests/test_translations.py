"""Every text of the pages, in each language."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
LOCALE = ROOT / "mailpanel" / "locale"
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|{\w*}|<[^>]+>")


def catalogue(code: str, root: Path = LOCALE) -> polib.POFile:
    return polib.pofile(str(root / code / "LC_MESSAGES" / "django.po"))


def texts(entry) -> tuple[list[str], list[str]]:
    """The English texts and the translations, one for each form of the plural."""
    if entry.msgid_plural:
        return [entry.msgid, entry.msgid_plural], list(entry.msgstr_plural.values())
    return [entry.msgid], [entry.msgstr]


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """What `make messages` would write now."""
    root = tmp_path_factory.mktemp("messages")
    for name in ("manage.py", "mailpanel", "accounts", "domains", "templates", "static"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    done = subprocess.run(
        [sys.executable, "manage.py", "makemessages", "--all", "--no-location", "--no-obsolete"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return root / "mailpanel" / "locale"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_is_translated(collected, code):
    there = {(e.msgctxt, e.msgid, e.msgid_plural) for e in catalogue(code) if not e.obsolete}
    wanted = {(e.msgctxt, e.msgid, e.msgid_plural) for e in catalogue(code, collected) if not e.obsolete}
    assert wanted - there == set(), "run `make messages` and translate"
    assert there - wanted == set(), "run `make messages`"
    assert [e.msgid for e in catalogue(code) if e.fuzzy or not all(texts(e)[1])] == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_translations_keep_what_is_filled_in(code):
    for entry in catalogue(code):
        english, translated = texts(entry)
        allowed = set(PLACEHOLDER.findall(" ".join(english)))
        needed = set(PLACEHOLDER.findall(english[-1]))
        for text in translated:
            assert set(PLACEHOLDER.findall(text)) <= allowed, text
        assert needed <= set(PLACEHOLDER.findall(translated[-1])), translated[-1]


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_is_compiled_is_what_is_written(code):
    compiled = polib.mofile(str(LOCALE / code / "LC_MESSAGES" / "django.mo"))
    written = {(e.msgctxt, e.msgid): texts(e)[1] for e in catalogue(code)}
    assert {(e.msgctxt, e.msgid): texts(e)[1] for e in compiled} == written
