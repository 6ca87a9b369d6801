"""The rules of the house that a machine can hold."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import get_resolver

ROOT = Path(settings.BASE_DIR)
OURS = ("mailpanel", "accounts", "domains")

# Imports point down. A module may import those of lower layers; within a layer, what stands before it or beside it.
LAYERS = [
    # leaves: no model, no request, no role
    r"mailpanel\.daemons.*|mailpanel\.stack\.queries|domains\.(addresses|quota)|accounts\.passwords|mailpanel\.(environment|export|journal|paging|deadlocks|formats.*|sqlite.*)",
    r"domains\.models|mailpanel\.server(\.(models(\..*)?|apps))?",
    r"accounts\.models",
    r"accounts\.(access(\..*)?|attention|audit|search|trash|usage)|mailpanel\.(forms|checks|apps|formatting)|mailpanel\.stack(?!\.run).*|.*\.migrations\..*|domains\.(routing|records)|mailpanel\.server\.(?!urls|views|forms).*",
    r"accounts\.(bulk|lifecycle|restore)|domains\.reach",
    r"accounts\.roles",
    r"domains\.(lifecycle|dkim)",
    r"accounts\.second_factor",
    r"accounts\.(authentication|probe_account)",
    r".*\.forms(\..*)?",
    r"mailpanel\.errors|mailpanel\.stack\.run|.*\.views(\..*)?|.*\.management.*",
    r".*\.urls|mailpanel\.(settings|wsgi)",
]


def modules():
    for app in OURS:
        for path in sorted((ROOT / app).rglob("*.py")):
            yield path, ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer(module: str) -> int:
    return next((i for i, pattern in enumerate(LAYERS) if re.fullmatch(pattern, module)), -1)


def imports(path: Path):
    names = {module for _path, module in modules()}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in OURS)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in names else node.module


def test_imports_point_down():
    wrong = [
        f"{module} imports {target}"
        for path, module in modules()
        for target in imports(path)
        if layer(module) >= 0 and layer(target) > layer(module)
    ]
    assert wrong == []


def test_every_module_has_its_layer():
    assert [
        m
        for _path, m in modules()
        if layer(m) < 0 and m not in OURS and "." in m and not m.endswith(("migrations", "management"))
    ] == []


def test_only_access_looks_at_roles():
    """Roles decide in one package. accounts.roles writes them, views and commands show them."""
    may_name_them = {
        "accounts.models", "accounts.lifecycle", "accounts.restore", "accounts.roles", "accounts.forms.roles",
        "accounts.views.roles", "accounts.views.mailboxes", "domains.views", "accounts.migrations.0001_tables",
        "accounts.migrations.0008_index_of_server_admins", "mailpanel.stack.run", "accounts.urls", "domains.urls",
    }  # fmt: skip
    naming = {
        module
        for path, module in modules()
        if re.search(r"\bRole\b|\.roles\b|\bis_superuser\b", path.read_text()) and "management" not in module
    }
    assert {module for module in naming if not module.startswith("accounts.access")} <= may_name_them


def test_migrations_are_complete(db):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_migrations_are_named():
    for path, module in modules():
        if ".migrations.0" in module:
            assert not re.search(r"_auto_|_initial$", path.stem)


def test_migrations_go_back(transactional_db):
    call_command("migrate", "server", "zero", verbosity=0)
    call_command("migrate", "accounts", "zero", verbosity=0)
    call_command("migrate", "domains", "zero", verbosity=0)
    call_command("migrate", verbosity=0)


def test_settings_stand_in_the_readme():
    read = set(
        re.findall(r'(?:env\.\w+|secret)\(\s*"(MAILPANEL_\w+)"', (ROOT / "mailpanel/settings.py").read_text())
    )
    table = set(re.findall(r"^\| `(MAILPANEL_\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert table == read


def test_every_file_of_deploy_stands_in_its_readme():
    """In the first column of the table, as a pattern below deploy/; and every pattern is of a file that is there."""
    deploy = ROOT / "deploy"
    rows = re.findall(r"^\| (`[^|]+) \|", (deploy / "README.md").read_text(), re.MULTILINE)
    named = [name.replace("<engine>", "*") for row in rows for name in re.findall(r"`([^`]+/[^`]+)`", row)]
    found = {path for name in named for path in deploy.glob(name)}
    there = {path for path in deploy.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert sorted(there - found) == [deploy / "README.md"]
    assert [name for name in named if not any(deploy.glob(name))] == []


@pytest.mark.parametrize("path", sorted((ROOT / "templates").rglob("*.html")), ids=lambda path: path.name)
def test_templates_hold_nothing_inline(path):
    text = re.sub(r"{%.*?%}", "", path.read_text())
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|hx-on|\|safe\b", text)


def test_templates_compile():
    from django.template.loader import get_template

    for path in (ROOT / "templates").rglob("*.html"):
        get_template(str(path.relative_to(ROOT / "templates")))


def test_no_route_is_nameless():
    def walk(resolver):
        for pattern in resolver.url_patterns:
            if hasattr(pattern, "url_patterns"):
                walk(pattern)
            else:
                assert pattern.name, pattern

    walk(get_resolver())


def test_production_settings_pass_djangos_own_checks(tmp_path):
    import os
    import subprocess
    import sys

    environment = {
        "PATH": os.environ["PATH"],
        "MAILPANEL_VAR": str(tmp_path),
        "MAILPANEL_URL": "https://panel.example.org",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAILPANEL_URL", "panel.example.org"), ("MAILPANEL_DATABASE_URL", "postgres://x/y"), ("MAILPANEL_DEBUG", "perhaps"),
        ("MAILPANEL_FILTER_INCOMING", "never"), ("MAILPANEL_FILTER_SUBMITTED", "off"), ("MAILPANEL_FILTER_PROCESSES", "1"),
        ("MAILPANEL_PASSWORD_SCHEME", "PLAIN"), ("MAILPANEL_PASSWORD_MIN_LENGTH", "4"), ("MAILPANEL_SIGNIN_TRIES", "many"),
        ("MAILPANEL_TRUSTED_PROXIES", "everybody"), ("MAILPANEL_SECRET_KEY_FILE", "/nowhere/at/all"),
        ("MAILPANEL_PROBE_TARGETS", "smtp=mail.example.org:25"), ("MAILPANEL_PROBE_SECONDS", "600"),
        ("MAILPANEL_ALERT_TO", "admin@example.org,x\r\nBcc: y"), ("MAILPANEL_ALERT_SMTP", "smtp://user:secret@host:587"),
        ("MAILPANEL_ALERT_SMTP", "smtp://host"), ("MAILPANEL_ALERT_WEBHOOK", "file:///etc/passwd"), ("MAILPANEL_ALERT_AFTER", "0"),
        ("MAILPANEL_ALERT_WEBHOOK", "https://host/ HTTP/1.1\r\nx:"), ("MAILPANEL_DNSBL", "zen.example.org, permit"),
        ("MAILPANEL_DNSBL", "zen.example.org=127.0.0.2 permit"), ("MAILPANEL_DNSBL", "zen"), ("MAILPANEL_DNSBL_EXCEPT", "everybody"),
        ("MAILPANEL_SENDERS_FROM", "everybody"),
        ("MAILPANEL_OUTBOUND_TLS", "perhaps"),
    ],
)  # fmt: skip
def test_nonsense_in_the_environment_stops_the_start(tmp_path, name, value):
    import os
    import subprocess
    import sys

    environment = {"PATH": os.environ["PATH"], "MAILPANEL_VAR": str(tmp_path), name: value}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert name.removesuffix("_FILE") in done.stderr or "sense" in done.stderr
