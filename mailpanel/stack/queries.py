"""The daemons' SQL, read from the files that they read: deploy/postfix/sql and deploy/dovecot/*/sql. A leaf."""

import re
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"


def postfix(engine: str, values: dict[str, str]) -> dict[str, str]:
    """By table, with the placeholders of `manage.py stack render` filled in and Postfix' own (%s, %u, %d) left."""
    return {
        path.stem: _query(path, values) for path in sorted((DEPLOY / "postfix/sql" / engine).glob("*.cf"))
    }


def asked_for(query: str, address: str) -> str:
    """The query as Postfix asks it for this address, which holds nothing that would have to be quoted."""
    local, _at, domain = address.rpartition("@")
    filled = {"s": address, "u": local, "d": domain, "%": "%"}
    return re.sub("%([sud%])", lambda found: filled[found[1]], query)


def _query(path: Path, values: dict[str, str]) -> str:
    text = "\n".join(line for line in _lines(path) if not line.lstrip().startswith("#"))
    query = re.search(r"^query =(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)[1]
    return re.sub(r"@\{(\w+)\}", lambda found: values[found[1]], query).strip()


def _lines(path: Path):
    for line in path.read_text().splitlines():
        if line.startswith("@include "):
            yield from _lines(path.with_name(line.split()[1]))
        else:
            yield line
