"""Postfix' queue, for server admins. These pages ask Postfix itself, with a deadline: what waits changes by the second."""

import time

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import Http404
from django.shortcuts import redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import access, audit
from accounts.views import by
from mailpanel.daemons import Trouble, queue
from mailpanel.daemons.probing import Watch
from mailpanel.daemons.queue import ACTIONS, DELETE, HOLD, ID, RELEASE, RETRY, Gone, Message
from mailpanel.server.queue import DO, LOOK, Listing

TOLD = 100  # messages of one action that the audit log names


@require_safe
def waiting(request):
    access.server(request.user)
    listing, trouble = Listing(request.GET.dict()), None
    try:
        listing.all  # noqa: B018  it is read here, where its trouble can be told
    except Trouble as error:
        trouble = error
    return render(request, "server/queue.html", {"list": listing, "trouble": trouble})


@require_safe
def message(request, identity):
    """Envelope and headers, as text."""
    access.server(request.user)
    if not ID.fullmatch(identity):
        raise Http404
    found, text, trouble = None, "", None
    try:
        found = next((each for each in queue.listed(Watch(LOOK)).messages if each.id == identity), None)
        text = queue.show(identity, Watch(LOOK))
    except Gone:
        messages.warning(request, _gone(identity))
        return redirect("server:queue")
    except Trouble as error:
        trouble = error
    context = {"identity": identity, "message": found, "text": text, "trouble": trouble}
    return render(request, "server/queue_message.html", context)


def _gone(identity: str) -> str:
    return _(
        "%s is not in the queue any more: it was delivered, returned or deleted meanwhile. The log of the mail server says which."
    ) % (identity)


@require_POST
def do(request):
    """What the buttons say. Before anything is deleted, what that means."""
    access.server(request.user)
    action, listing = request.POST.get("do"), Listing(request.POST.dict())
    everything = bool(request.POST.get("all"))
    picked = [each for each in request.POST.getlist("pick") if ID.fullmatch(each)]
    if action not in ACTIONS or not (everything or picked):
        messages.warning(request, _("No message is selected."))
        return redirect(_back(listing))
    try:
        chosen = listing.rows if everything else [each for each in listing.all.messages if each.id in picked]
        gone = 0 if everything else len(picked) - len(chosen)
        if action == DELETE and chosen and "sure" not in request.POST:
            return _ask(request, listing, chosen, everything)
        _carry_out(request, action, chosen, gone)
    except Trouble as trouble:
        messages.error(request, f"{trouble.detail} {trouble.hint}")
    return redirect(_back(listing))


def _ask(request, listing: Listing, chosen: list[Message], everything: bool):
    context = {
        "list": listing,
        "chosen": chosen,
        "shown": chosen[:5],
        "bytes": sum(each.size for each in chosen),
        "senders": len({each.sender for each in chosen if each.sender}),
        "bounces": sum(not each.sender for each in chosen),
        "recipients": sum(len(each.recipients) for each in chosen),
        "everything": everything,
        "until": int(time.time()),  # what comes after this was seen by nobody, and is not deleted
        "back": _back(listing),
    }
    return render(request, "server/queue_delete.html", context)


def _carry_out(request, action: str, chosen: list[Message], gone: int) -> None:
    """Do it, and say and record what was done."""
    if action == RETRY:
        held = [each for each in chosen if each.queue == "hold"]
        chosen = [each for each in chosen if each.queue != "hold"]
        if held:
            messages.warning(request, _held(len(held)))
    done, trouble = queue.act(action, [each.id for each in chosen], Watch(DO)) if chosen else (set(), None)
    if done:
        _record(request, action, [each for each in chosen if each.id in done])
        messages.success(request, _done(action, len(done)))
    if trouble:
        raise trouble
    if gone := gone + len(chosen) - len(done):
        messages.warning(request, _passed(action, gone))


def _record(request, action: str, done: list[Message]) -> None:
    """One entry for what one person did at once, which names the first messages."""
    told = {each.id: _in_short(each) for each in done[:TOLD]}
    one = len(done) == 1
    name, kind = (done[0].id, "message") if one else (str(len(done)), "messages")
    # spelled out, so that a test can read which entries there are
    did = (
        "hold"
        if action == HOLD
        else "release"
        if action == RELEASE
        else "retry"
        if action == RETRY
        else "delete"
    )
    audit.record(by(request), did, kind, name, before=told)


def _in_short(each: Message) -> str:
    first, *more = (address for address, _why in each.recipients)
    return f"{each.sender or '<>'} → {first}{f' +{len(more)}' if more else ''}"


def _back(listing: Listing) -> str:
    return resolve_url("server:queue") + listing.here


def _held(number: int) -> str:
    return ngettext(
        "%(number)s message is on hold and was not tried. Release it first.",
        "%(number)s messages are on hold and were not tried. Release them first.",
        number,
    ) % {"number": intcomma(number)}


def _passed(action: str, number: int) -> str:
    if action == HOLD:
        return ngettext(
            "%(number)s message was on hold already, or has left the queue meanwhile.",
            "%(number)s messages were on hold already, or have left the queue meanwhile.",
            number,
        ) % {"number": intcomma(number)}
    if action == RELEASE:
        return ngettext(
            "%(number)s message was not on hold any more, or has left the queue meanwhile.",
            "%(number)s messages were not on hold any more, or have left the queue meanwhile.",
            number,
        ) % {"number": intcomma(number)}
    return ngettext(
        "%(number)s message has left the queue meanwhile: it was delivered, returned or deleted.",
        "%(number)s messages have left the queue meanwhile: they were delivered, returned or deleted.",
        number,
    ) % {"number": intcomma(number)}


def _done(action: str, number: int) -> str:
    return {
        HOLD: ngettext(
            "%(number)s message is on hold. It stays in the queue until it is released.",
            "%(number)s messages are on hold. They stay in the queue until they are released.",
            number,
        ),
        RELEASE: ngettext(
            "%(number)s message is released, and is tried at the next chance.",
            "%(number)s messages are released, and are tried at the next chance.",
            number,
        ),
        RETRY: ngettext(
            "%(number)s message is tried now. Those that still wait after this say why.",
            "%(number)s messages are tried now. Those that still wait after this say why.",
            number,
        ),
        DELETE: ngettext(
            "%(number)s message is deleted for good.", "%(number)s messages are deleted for good.", number
        ),
    }[action] % {"number": intcomma(number)}
