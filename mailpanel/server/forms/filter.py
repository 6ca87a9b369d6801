"""Forms of the content filter."""

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import access
from domains import addresses
from domains.models import one_line
from mailpanel.forms import AS_IS, EditForm, PanelForm, Text
from mailpanel.server import filter_policy, quarantine
from mailpanel.server.models import FilterPolicy
from mailpanel.server.models.filter import ALLOWED, BANNED, BLOCKED, DEFAULTS, NEVER, SERVER, SUBJECT
from mailpanel.server.models.quarantine import BANNED as BANNED_FILE
from mailpanel.server.models.quarantine import OTHER, SPAM, VIRUS

INHERIT, NONE, OWN = "", "none", "own"
LEVELS = {
    "spam_tag2_level": (2, 3, 4, 5, 6, 8, 10, NEVER),
    "spam_kill_level": (4, 5, 6, 8, 10, 12, 15, 20, NEVER),
    "spam_tag_level": (-999, 0, 2, NEVER),
}
LABELS = {
    "bypass_spam_checks": gettext_lazy("Search for spam"),
    "spam_tag2_level": gettext_lazy("Mark as spam from"),
    "spam_kill_level": gettext_lazy("Into the quarantine from"),
    "spam_tag_level": gettext_lazy("Tell the score in the headers from"),
    "spam_subject_tag2": gettext_lazy("Mark in the subject of spam"),
    "bypass_virus_checks": gettext_lazy("Search for viruses"),
    "bypass_banned_checks": gettext_lazy("Search for banned files"),
    "banned_rulenames": gettext_lazy("Banned files"),
    "digest": gettext_lazy("Daily mail about the quarantine"),
}

PARTS = [
    (
        gettext_lazy("Spam"),
        ["bypass_spam_checks", "spam_tag2_level", "spam_kill_level", "spam_tag_level", "subject", "mark"],
    ),
    (
        gettext_lazy("Viruses and files"),
        ["bypass_virus_checks", "bypass_banned_checks", "files", "sets"],
    ),
    (gettext_lazy("Quarantine"), ["digest"]),
]


def words(column: str, value) -> str:
    """A value of a policy, as people read it."""
    if column in LEVELS:
        if value >= NEVER:
            return _("never")
        return (
            _("always")
            if value <= -99
            else _("a score of %s") % number_format(int(value) if value == int(value) else round(value, 2))
        )
    if column.startswith("bypass"):
        return _("no") if value == "Y" else _("yes")
    if column == "digest":
        return _("yes") if value else _("no")
    if column == "banned_rulenames":
        return ", ".join(str(BANNED.get(name, name)) for name in _names(value)) or _("none")
    return _("“%s”") % value.strip() if value.strip() else _("none")


def whose(scope: str) -> str:
    """Who says so, in a sentence."""
    if scope == SERVER:
        return _("the server")
    return addresses.to_unicode(filter_policy.name(scope))


def _names(rules: str | None) -> list[str]:
    return [name.strip() for name in (rules or "").split(",") if name.strip()]


class PolicyForm(EditForm):
    """The policy of one scope. Each field may be left to the wider scope, and then says what that is."""

    subject = forms.ChoiceField(label=LABELS["spam_subject_tag2"], required=False)
    mark = Text(
        label=gettext_lazy("The mark"),
        required=False,
        max_length=SUBJECT - 1,
        attrs={"placeholder": "[SPAM]"},
    )
    files = forms.ChoiceField(label=LABELS["banned_rulenames"], required=False)
    sets = forms.MultipleChoiceField(
        label=gettext_lazy("The files"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=list(BANNED.items()),
    )
    digest = forms.TypedChoiceField(
        label=LABELS["digest"], required=False, coerce=lambda value: value == "1", empty_value=None,
        help_text=gettext_lazy("It tells what was held back since the last one, and is only sent if there is something."),
    )  # fmt: skip

    def __init__(self, *args, row: FilterPolicy, may_skip_virus_checks: bool, **kwargs):
        self.scope = row.scope
        self.above = filter_policy.applied(filter_policy.wider(row.scope))
        self.base_fields = self.base_fields | self._fields(row, may_skip_virus_checks)
        super().__init__(*args, row=row, about=("filter", filter_policy.name(row.scope)), **kwargs)
        self.order_fields([name for _heading, names in PARTS for name in names])
        self.fields["subject"].choices = self._choices(
            "spam_subject_tag2", [(NONE, _("No mark")), (OWN, _("This one:"))]
        )
        self.fields["files"].choices = self._choices(
            "banned_rulenames", [(NONE, _("None")), (OWN, _("These:"))]
        )
        for name in self.fields.keys() - {"mark", "sets"}:
            self.fields[name].required = self.scope == SERVER
        self.fields["digest"].choices = self._choices("digest", [("1", _("Yes")), ("0", _("No"))])

    def _fields(self, row: FilterPolicy, may_skip_virus_checks: bool) -> dict:
        fields = {}
        for column, levels in LEVELS.items():
            if column != "spam_tag_level" or self.scope.startswith("@"):
                now = getattr(row, column)
                numbers = sorted({float(one) for one in levels} | ({now} if now is not None else set()))
                choices = self._choices(column, [(str(one), words(column, one)) for one in numbers])
                fields[column] = forms.TypedChoiceField(
                    label=LABELS[column], choices=choices, coerce=float, empty_value=None
                )
        for column in ("bypass_spam_checks", "bypass_virus_checks", "bypass_banned_checks"):
            if column != "bypass_virus_checks" or may_skip_virus_checks:
                choices = self._choices(column, [("N", _("Yes")), ("Y", _("No"))])
                fields[column] = forms.TypedChoiceField(
                    label=LABELS[column], choices=choices, empty_value=None
                )
        return fields

    def _choices(self, column: str, own: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """What can be chosen, after what holds if nothing is."""
        if self.scope == SERVER:
            return own
        told = {"whose": whose(self.above[column].scope), "value": words(column, self.above[column].value)}
        return [(INHERIT, _("As %(whose)s has it: %(value)s") % told), *own]

    def stored(self, row: FilterPolicy) -> dict:
        mark, rules = row.spam_subject_tag2, row.banned_rulenames
        shown = {
            name: "" if (value := getattr(row, name)) is None else str(value)
            for name in self.fields
            if name in DEFAULTS and name != "digest"
        }
        return shown | {
            "subject": INHERIT if mark is None else OWN if mark else NONE,
            "mark": (mark or "").strip(),
            "files": INHERIT if rules is None else OWN if rules else NONE,
            "sets": _names(rules),
            "digest": {None: "", True: "1", False: "0"}[row.digest],
        }

    def clean_mark(self) -> str:
        return one_line(self.cleaned_data["mark"])

    def clean(self):
        data = super().clean()
        if data.get("subject") == OWN and not data.get("mark") and "mark" not in self.errors:
            self.add_error("mark", _("Write what is to stand before the subject, such as [SPAM]."))
        if data.get("files") == OWN and not data.get("sets"):
            self.add_error("sets", _("Choose at least one kind of files, or “None” above."))
        return data

    @property
    def parts(self) -> list[tuple[str, list]]:
        """The fields under their headings."""
        return [(heading, [self[name] for name in names if name in self.fields]) for heading, names in PARTS]

    @property
    def columns(self) -> dict:
        """What this person changed, as columns."""
        changed, data = self.changes, self.cleaned_data
        columns = {name: value for name, value in changed.items() if name in DEFAULTS}
        if changed.keys() & {"subject", "mark"}:
            own = f"{data['mark']} "  # Amavis puts it right before the subject
            columns["spam_subject_tag2"] = {INHERIT: None, NONE: "", OWN: own}[data["subject"]]
        if changed.keys() & {"files", "sets"}:
            columns["banned_rulenames"] = {INHERIT: None, NONE: "", OWN: ",".join(data["sets"])}[
                data["files"]
            ]
        return columns

    def merge(self, untouched: list[str], now: dict) -> None:
        super().merge([name for name in untouched if name != "sets"], now)
        if "sets" in untouched:
            self.data.setlist(self.add_prefix("sets"), now["sets"])

    def _in_words(self, name: str, value) -> str:
        if name == "sets":
            return words("banned_rulenames", ",".join(value or []))
        choices = dict(getattr(self.fields[name], "choices", ()))
        if name == "digest" and isinstance(value, bool):
            value = "1" if value else "0"
        return str(choices.get("" if value is None else str(value), "")) or super()._in_words(name, value)


class SendersForm(PanelForm):
    """One or many senders to allow or to block."""

    senders = forms.CharField(
        label=gettext_lazy("Senders"),
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3} | AS_IS),
        help_text=gettext_lazy(
            "Addresses, or whole domains such as @example.org; each on a line of its own."
        ),
    )
    wb = forms.ChoiceField(
        label=gettext_lazy("What to do with their mail"),
        widget=forms.RadioSelect,
        initial=ALLOWED,
        choices=[
            (ALLOWED, gettext_lazy("Never take it for spam")),
            (BLOCKED, gettext_lazy("Always take it for spam")),
        ],
    )

    def clean_senders(self) -> list[str]:
        found, errors = [], []
        lines = [line for line in self.cleaned_data["senders"].splitlines() if line.strip()]
        for line in lines[: filter_policy.MOST_SENDERS + 1]:
            try:
                found.append(filter_policy.parse_sender(line))
            except ValidationError as error:
                errors.append(f"{line.strip()[:80]}: {' '.join(error.messages)}" if len(lines) > 1 else error)
        if errors:
            raise ValidationError(errors[:5])
        return found


class QuarantineForm(PanelForm):
    """What to find in the quarantine. A filter that means nothing says so at its field, and finds nothing."""

    to = Text(label=gettext_lazy("For"), required=False, max_length=400, attrs=AS_IS)
    sender = Text(label=gettext_lazy("Sender"), required=False, max_length=400, attrs=AS_IS)
    kind = forms.ChoiceField(
        label=gettext_lazy("Held back as"),
        required=False,
        choices=[
            ("", gettext_lazy("anything")),
            (SPAM, gettext_lazy("Spam")),
            (BANNED_FILE, gettext_lazy("Banned file")),
            (VIRUS, gettext_lazy("Virus")),
            (OTHER, gettext_lazy("Something else")),
        ],
    )
    mine = forms.BooleanField(label=gettext_lazy("Only for my own mailbox"), required=False)

    def __init__(self, *args, actor, **kwargs):
        super().__init__(*args, **kwargs)
        self.actor = actor
        if not access.rights(actor).any:
            del self.fields["mine"], self.fields["to"]

    @staticmethod
    def kept(query: str) -> dict[str, str]:
        """The filters in a query string."""
        asked = QueryDict(query[:2000])
        return {name: asked[name] for name in ("to", "sender", "kind", "mine") if asked.get(name)}

    def clean_to(self) -> str:
        return filter_policy.parse_sender(typed) if (typed := self.cleaned_data["to"]) else ""

    def clean_sender(self) -> str:
        return filter_policy.parse_sender(typed) if (typed := self.cleaned_data["sender"]) else ""

    @property
    def used(self) -> bool:
        self.is_valid()
        return any(self.cleaned_data.values())

    @property
    def listing(self) -> quarantine.Listing:
        self.is_valid()
        data = {name: value for name, value in self.cleaned_data.items() if value}
        if self.errors:
            data |= {"kind": "?"}
        return quarantine.Listing(self.actor, **data)
