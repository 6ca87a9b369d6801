import re

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from domains.models import STEERING
from mailpanel.forms import AS_IS, PeriodForm, Text
from mailpanel.server.messages import bare
from mailpanel.server.models.trace import State
from mailpanel.server.trace import SHOWN, Sought

STATES = {
    "delivered": (gettext_lazy("delivered"), (State.DELIVERED, State.SENT)),
    "waiting": (gettext_lazy("waiting"), (State.WAITING,)),
    "refused": (gettext_lazy("refused"), (State.REFUSED,)),
    "quarantined": (gettext_lazy("in quarantine"), (State.QUARANTINED,)),
    "returned": (gettext_lazy("returned"), (State.BOUNCED,)),
}


class TraceForm(PeriodForm):
    """What to find. A filter that means nothing says so at its field, and narrows nothing."""

    address = Text(label=gettext_lazy("Sender or recipient"), required=False, max_length=400, attrs=AS_IS)
    name = Text(label=gettext_lazy("Message-ID or queue ID"), required=False, max_length=400, attrs=AS_IS)
    state = forms.ChoiceField(
        label=gettext_lazy("What became of it"),
        required=False,
        choices=lambda: [("", _("anything")), *((key, words) for key, (words, _states) in STATES.items())],
    )

    def clean_address(self) -> str:
        """Whatever a stranger may have as an address, so this is no check that it would be one here."""
        typed = self.cleaned_data["address"].strip("<> ")
        if typed and not re.fullmatch(r"[^@].*@[^@\s]+|[^@]@[^@\s]+", typed):
            raise ValidationError(_("Write a whole address, such as anna@example.org."))
        try:
            return (
                bare(typed.rpartition("@")[0] + "@" + typed.rpartition("@")[2].encode("idna").decode())
                if typed
                else ""
            )
        except UnicodeError:
            return bare(typed)

    def clean_name(self) -> str:
        return STEERING.sub("", self.cleaned_data["name"]).strip()

    @property
    def used(self) -> bool:
        self.is_valid()
        return any(self.cleaned_data.values())

    def sought(self) -> Sought:
        self.is_valid()
        data = self.cleaned_data
        since, until = self.period
        return Sought(
            address=data.get("address", ""),
            name=data.get("name", ""),
            states=STATES[data["state"]][1] if data.get("state") else SHOWN,
            since=since,
            until=until,
        )
