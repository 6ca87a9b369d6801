"""manage.py check_server: what it says, and how it ends."""

import io
import json
import stat

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from mailpanel.daemons import State, Trouble, probing
from mailpanel.daemons.text import Text as _


@pytest.fixture
def probes(monkeypatch):
    """probes(one=raises, …): these and no others."""
    probing.probes()

    def put(**looks):
        monkeypatch.setattr(probing, "_registered", {})
        for key, found in looks.items():

            def look(watch, found=found):
                watch.stage(_("Delivered"))
                if isinstance(found, Exception):
                    raise found
                return _(found)

            probing.probe(key, probing.GROUND, _("Probe %(key)s", key=key))(look)

    return put


def check(*arguments) -> tuple[str, int]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("check_server", *arguments, stdout=out)
    return out.getvalue(), end.value.code


WARN = Trouble(_("It is old."), _("Nobody renewed it."), "renew", state=State.WARN)
BAD = Trouble(_("It is down \x1b[31m\u202e."), _("Start it."), "start it")
OFF = Trouble(_("Not checked."), state=State.OFF)


@pytest.mark.parametrize(
    ("looks", "code", "first"),
    [
        ({"a": "Fine.", "b": OFF}, 0, "OK: mail works, 2 probes"),
        ({"a": "Fine.", "b": WARN}, 1, "WARNING: Probe b: It is old."),
        ({"a": WARN, "b": BAD}, 2, "CRITICAL: Probe b: It is down ?[31m?., and 1 more"),
    ],
)
def test_first_line_and_exit_status(probes, looks, code, first):
    probes(**looks)
    out, ended = check()
    assert (out.splitlines()[0], ended) == (first, code)


def test_cause_and_next_step_are_told(probes):
    probes(a=BAD)
    lines = check()[0].splitlines()
    assert lines[1].startswith("CRITICAL     Probe a: It is down")
    assert lines[2:4] == [" " * 13 + "Start it.", " " * 13 + "start it"]
    assert lines[4].endswith("s  Delivered")


def test_json(probes):
    probes(a="Fine.", b=WARN)
    out, code = check("--json")
    assert out.isascii()
    well, old = json.loads(out)
    assert code == 1
    assert (old["key"], old["state"], old["detail"], old["hint"], old["command"]) == ("b", "warn", "It is old.", "Nobody renewed it.", "renew")  # fmt: skip
    assert (well["state"], well["stages"][0]["name"], well["seconds"] < 1) == ("ok", "Delivered", True)


def test_only_some(probes):
    probes(a="Fine.", b=BAD)
    assert check("a")[1] == 0
    with pytest.raises(CommandError) as unknown:
        call_command("check_server", "c")
    assert unknown.value.returncode == 3


@pytest.fixture
def var(settings, tmp_path):
    settings.MAILPANEL_VAR = tmp_path
    return tmp_path / "check_server.json"


def test_changes(probes, var):
    probes(a="Fine.", b=WARN, c=OFF)
    out, code = check("--changes")
    assert (out.splitlines()[0], code) == ("WARNING: Probe b: It is old.", 1)
    assert "Probe a" not in out
    assert check("--changes") == ("", 1)
    probes(a=BAD, b="Fine.", c=OFF)
    out, code = check("--changes")
    assert code == 2
    assert [line[:24] for line in out.splitlines() if "Probe" in line] == [
        "CRITICAL: Probe a: It is",
        "CRITICAL     Probe a: It",
        "OK           Probe b: Fi",
    ]
    assert [row["key"] for row in json.loads(check("--changes", "--json")[0])] == []
    probes(a="Fine.", b="Fine.", c=OFF)
    assert check("--changes")[0].splitlines()[0] == "OK: mail works, 3 probes"
    assert check("--changes") == ("", 0)


def test_changes_of_some_leave_the_others(probes, var):
    probes(a=BAD, b=BAD)
    check("--changes", "a")
    assert "Probe b" in check("--changes")[0]
    assert check("--changes") == ("", 2)
    probes(a="Fine.", b=BAD)
    lines = check("--changes")[0].splitlines()  # the first one tells how it is, not what is new
    assert lines[0].startswith("CRITICAL: Probe b")
    assert lines[1].startswith("OK           Probe a")


@pytest.mark.parametrize("content", ["", "[]", '{"a": 7}', "\x00"])
def test_changes_after_a_file_that_makes_no_sense(probes, var, content):
    var.write_text(content)
    probes(a=BAD)
    assert "Probe a" in check("--changes")[0]
    assert check("--changes") == ("", 2)
    assert stat.S_IMODE(var.stat().st_mode) == 0o600
    assert [path.name for path in var.parent.iterdir()] == [var.name]


def test_the_shell_speaks_english(probes):
    probes(a=Trouble(_("unlimited")))
    with translation.override("de"):
        assert "unlimited" in check()[0]


def test_list():
    out = io.StringIO()
    call_command("check_server", "--list", stdout=out)
    assert {line.split()[0] for line in out.getvalue().splitlines()} == set(probing.probes())
