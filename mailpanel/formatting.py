"""How values look on the pages: template tags and filters, known to every template."""

import math
from datetime import timedelta

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from accounts import audit
from domains import addresses, quota
from mailpanel.daemons import probing
from mailpanel.server import board

register = template.Library()


def names(request) -> dict:
    """Context of every page: what this server calls itself."""
    return {
        "hostname": settings.MAILPANEL_HOSTNAME,
        "panel_url": settings.MAILPANEL_URL,
        "trash_days": settings.MAILPANEL_TRASH_DAYS,
        "quarantine_days": settings.MAILPANEL_QUARANTINE_DAYS,
        "languages": settings.LANGUAGES,  # each by its own name, which Django's own tag would translate
    }


@register.simple_tag
def icon(name: str):
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name
    )


@register.filter
def address(value: str):
    """The local part strong, the domain soft, and a place to break before the @."""
    local, domain = addresses.split(value)
    domain = addresses.to_unicode(domain)
    return format_html("{}<wbr><i>@{}</i>", local or _("everything else"), domain)


@register.filter
def unicode(value: str) -> str:
    return addresses.to_unicode(value)


@register.filter
def size(value) -> str:
    return quota.show(value)


@register.filter
def when(value):
    """A moment as people say it, with the exact one in its title."""
    if not value:
        return format_html('<span class="soft">{}</span>', _("Never"))
    local, today = timezone.localtime(value), timezone.localdate()
    days = (today - local.date()).days
    if days == 0:
        text = date_format(local, "TIME_FORMAT")
    elif days == 1:
        text = _("Yesterday")
    elif local.year == today.year:
        text = date_format(local, "MONTH_DAY_FORMAT")
    else:
        text = date_format(local, "DATE_FORMAT")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        date_format(local, "DATETIME_FORMAT"),
        text,
    )


@register.filter
def last_day(value) -> str:
    """The day that ends at a moment: “3 December”, with the year if it is another one."""
    day = timezone.localtime(value - timedelta(seconds=1)).date()
    return date_format(day, "MONTH_DAY_FORMAT" if day.year == timezone.localdate().year else "DATE_FORMAT")


@register.filter
def took(seconds) -> str:
    """A length of time as far as it matters: “38 ms”, “1.95 s”, “12 s”."""
    seconds = float(seconds)
    if seconds < 0.9995:
        return _("%(number)s ms") % {"number": round(seconds * 1000)}
    rounded = round(seconds, 2 if seconds < 10 else 0)
    return _("%(number)s s") % {"number": number_format(int(rounded) if rounded.is_integer() else rounded)}


@register.filter
def per_cent(value) -> str:
    """Rounded down, so that 100 % means all."""
    if value is None:
        return "–"
    cut = math.floor(value * 100) / 100
    return _("%(number)s %%") % {"number": number_format(int(cut) if cut.is_integer() else cut)}


@register.filter
def probe_name(key: str) -> str:
    known = probing.probes().get(key)
    return str(known.name) if known else key


@register.filter
def probe_link(key: str):
    """The name of a probe, as a link to its page; of one that is no more, the key that it had."""
    if key not in probing.probes():
        return key
    return format_html('<a href="{}">{}</a>', reverse("server:probe", args=[key]), probe_name(key))


@register.simple_tag
def probes_down() -> int:
    return board.down()


@register.inclusion_tag("quota.html")
def quota_bar(used, limit):
    """Used of a quota: the words, and a bar that turns amber from 80 % and red from 95 %."""
    used = max(used or 0, 0)
    if not limit:
        return {"used": used, "limit": None}
    per_cent = min(used * 100 // limit, 999)
    return {
        "used": used,
        "limit": limit,
        "per_cent": per_cent,
        "width": min(per_cent, 100),
        "level": "bad" if per_cent >= 95 else "warn" if per_cent >= 80 else "",
    }


@register.inclusion_tag("count.html")
def count_bar(used, limit, words: str = ""):
    """The same of a number of things; `words` say which."""
    return quota_bar(used, limit) | {"words": words}


@register.inclusion_tag("pool.html")
def pool_bar(domain):
    """What the mailboxes of a domain hold, of what they were promised, of its pool: used before promised in one bar."""
    whole = max(domain.quota_pool or 0, domain.quota_given, domain.quota_used, 1)
    return {
        "domain": domain,
        "held": domain.quota_given * 100 // whole,
        "used": max(domain.quota_used, 0) * 100 // whole,
        "full": bool(domain.quota_pool) and domain.quota_given * 100 >= domain.quota_pool * 95,
    }


@register.simple_tag
def sentence(entry):
    """An entry of the audit log: who did what, with a link to the object if `entry.url` has one."""
    link = '<a href="{1}"><bdi>{0}</bdi></a>' if getattr(entry, "url", None) else "<bdi>{0}</bdi>"
    return audit.sentence(
        entry,
        format_html("<b><bdi>{}</bdi></b>", addresses.to_unicode(entry.actor)),
        format_html(link, addresses.to_unicode(entry.name), getattr(entry, "url", "")),
    )


@register.filter
def initials(person) -> str:
    words = (person.name or person.email.partition("@")[0].replace(".", " ")).split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


@register.simple_tag(takes_context=True)
def nav(context, name: str):
    """aria-current for the entry of the navigation that the page belongs to."""
    match = context["request"].resolver_match
    here = match.view_name if match else ""
    return (
        format_html(' aria-current="{}"', "page" if here == name else "true") if here.startswith(name) else ""
    )
