"""Who did what to which object: one table, one function, in the same transaction as the change."""

from typing import NamedTuple

from accounts.models import Audit


class By(NamedTuple):
    """Who acts: an address, or `shell:NAME` for a command; and the client's address where there is one."""

    actor: str
    client: str = ""


# What no audit row may hold. The fact of a change is told; the value is not.
SECRET = {"password"}


def snapshot(instance) -> dict:
    """The columns of a row as plain values, without secrets and without the counters that change by themselves."""
    return {
        field.column: value
        if isinstance(value := field.value_from_object(instance), bool | int | None)
        else str(value)
        for field in instance._meta.concrete_fields
        if field.editable and not field.primary_key and field.name not in SECRET
    }


def difference(before: dict, after: dict) -> tuple[dict, dict]:
    """Only the columns that differ, of both."""
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: before.get(key) for key in changed}, {key: after.get(key) for key in changed}


def record(
    by: By, action: str, kind: str, name: str, *, domain: str = "", before=None, after=None, reason: str = ""
):
    """Write one row. `kind` is domain, mailbox, alias or role; `name` the address or domain it is about."""
    Audit.objects.create(
        actor=by.actor[:255],
        client=by.client,
        action=action,
        kind=kind,
        name=name[:255],
        domain=domain,
        before=before,
        after=after,
        reason=reason[:255],
    )


def last(kind: str, name: str) -> Audit | None:
    """The newest row about an object."""
    return Audit.objects.filter(kind=kind, name=name[:255]).order_by("-id").first()


def record_all(by: By, action: str, kind: str, rows: list[tuple], *, domain: str, reason: str = ""):
    """The same for many objects of one domain, in few statements; `rows` are (name, before, after)."""
    Audit.objects.bulk_create(
        (
            Audit(
                actor=by.actor[:255],
                client=by.client,
                action=action,
                kind=kind,
                name=name[:255],
                domain=domain,
                before=before,
                after=after,
                reason=reason[:255],
            )
            for name, before, after in rows
        ),
        batch_size=1000,
    )
