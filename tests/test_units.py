"""The units of systemd, as far as systemd itself says something of them without running any."""

import re
import shutil
import subprocess

import pytest

from mailpanel.stack.render import DEPLOY

UNITS = DEPLOY / "systemd"
# What runs all the time; what fetches signatures runs for a minute, as its packages have it.
LASTING = ["web", "collect", "policy", "queue"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
@pytest.mark.parametrize("name", LASTING)
def test_little_is_exposed(name):
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNITS / f"mailpanel-{name}.service"],
        capture_output=True,
        text=True,
    )
    assert float(re.search(r"exposure level for \S+: ([\d.]+)", told.stdout)[1]) <= 3.0, told.stdout


@pytest.mark.parametrize("name", LASTING)
def test_what_no_unit_may_do(name):
    text = (UNITS / f"mailpanel-{name}.service").read_text()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
                 "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "SystemCallFilter=@system-service"):  # fmt: skip
        assert re.search(rf"^{re.escape(line)}", text, re.MULTILINE), line
    if name != "queue":  # which is root's, with the few rights that it names
        assert "\nCapabilityBoundingSet=\n" in text
        assert "\nUser=mailpanel\n" in text


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.service")), ids=lambda path: path.stem)
def test_what_is_started_is_there(path):
    """The commands of the panel are commands of the panel."""
    for command in re.findall(r"manage\.py (\w+)", path.read_text()):
        assert list(DEPLOY.parent.glob(f"*/management/commands/{command}.py"))
