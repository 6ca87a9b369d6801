"""Who may see and change what. The only package that looks at roles.

Seeing follows the domain, changing follows rank. What somebody may not know of answers 404, what he sees but may not
do answers 403. Every view asks here in its first line; forms take their choices from here too.
"""

from accounts.access.directory import (
    alias,
    aliases,
    changeable,
    domain,
    domain_fields,
    domains,
    mailbox,
    mailboxes,
    may,
    may_change_alias,
    scope,
    source_of_alias,
    told,
    why_not,
)
from accounts.access.mail import (
    may_filter,
    may_read,
    may_read_for,
    may_release_viruses,
    may_skip_virus_checks,
    quarantine_domains,
    senders,
    traced,
    traffic,
)
from accounts.access.rank import OutOfReach, Rights, To, admin, for_templates, rights, sees, server, staff
from accounts.access.records import log, own_log
from accounts.access.roles import give, holder, may_take, reach, roles_of, take
from accounts.access.trash import deleted, deletion, deletions, may_bring_back

__all__ = [
    "OutOfReach", "Rights", "To", "admin", "alias", "aliases", "changeable", "deleted", "deletion", "deletions", "domain", "domain_fields",
    "domains", "for_templates", "give", "holder", "log", "mailbox", "mailboxes", "may", "may_bring_back", "may_change_alias", "may_filter",
    "may_read", "may_read_for", "may_release_viruses", "may_skip_virus_checks", "may_take", "own_log", "quarantine_domains", "reach", "rights", "roles_of",
    "scope", "sees", "senders", "server", "source_of_alias", "staff", "take", "told", "traced", "traffic", "why_not",
]  # fmt: skip
