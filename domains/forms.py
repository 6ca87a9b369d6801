from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import access, lifecycle
from accounts.models import Mailbox
from domains import addresses, dkim
from domains.lifecycle import Destination
from domains.models import DkimKey, Domain
from domains.records import Record
from mailpanel.forms import AS_IS, Difference, EditForm, PanelForm, ReasonForm, Switch, Text


class DomainForm(EditForm, forms.ModelForm):
    """The settings of a domain, as far as the actor may write them."""

    alias_of = Text(
        label=gettext_lazy("Mirror of"),
        required=False,
        help_text=gettext_lazy(
            "Another domain here, whose mailboxes and aliases this one shares. Usually empty."
        ),
    )

    class Meta:
        model = Domain
        fields = [
            "description",
            "enabled",
            "default_quota",
            "quota_pool",
            "max_mailboxes",
            "max_aliases",
            "alias_of",
            "transport",
        ]
        help_texts = {
            "enabled": gettext_lazy(
                "Switched off, mail for it is refused and nobody of it signs in. Nothing is deleted."
            ),
            "default_quota": gettext_lazy(
                "Offered for each new mailbox. Such as 5 GB; left empty: unlimited."
            ),
            "quota_pool": gettext_lazy(
                "How much all its mailboxes may be promised together. Left empty: unlimited."
            ),
            "max_mailboxes": gettext_lazy("Left empty: unlimited."),
            "max_aliases": gettext_lazy(
                "An alias with three destinations counts as three. Left empty: unlimited."
            ),
            "transport": gettext_lazy(
                "virtual: keeps mail in mailboxes here. smtp:[host]:port or relay:[host] sends it on to another server."
            ),
        }

    def __init__(self, *args, actor, **kwargs):
        self.actor = actor
        domain = kwargs.get("instance") or Domain()
        super().__init__(*args, row=domain, about=("domain", domain.name) if domain.name else None, **kwargs)
        for name in self.fields.keys() - access.domain_fields(actor) - {"name"}:
            del self.fields[name]
        for field in self.fields.values():
            if isinstance(field, forms.BooleanField):
                field.widget = Switch().widget

    def stored(self, row: Domain) -> dict:
        shown = {name: getattr(row, name) for name in access.domain_fields(self.actor) & self.fields.keys()}
        if "alias_of" in shown:
            shown["alias_of"] = addresses.to_unicode(row.alias_of_id or "")
        return shown

    def clean_alias_of(self) -> Domain | None:
        typed = self.cleaned_data["alias_of"]
        if not typed:
            return None
        target = (
            access.domains(self.actor)
            .filter(name=addresses.parse_domain(typed))
            .select_related("alias_of")
            .first()
        )
        if target is None:
            raise ValidationError(_("There is no domain %s here.") % typed)
        return target


class NewDomainForm(DomainForm):
    name = Text(
        label=gettext_lazy("Domain"),
        max_length=300,
        strip=False,
        help_text=gettext_lazy("The part after the @, such as example.org."),
        attrs=AS_IS | {"placeholder": "example.org"},
    )

    class Meta(DomainForm.Meta):
        fields = ["name", *(field for field in DomainForm.Meta.fields if field != "enabled")]

    field_order = ["name"]

    def clean_name(self) -> str:
        name = addresses.parse_domain(self.cleaned_data["name"])
        if Domain.objects.filter(name=name).exists():
            raise ValidationError(_("%s exists already.") % addresses.to_unicode(name))
        return name


class LastDay(forms.DateField):
    """A day in the panel's time zone; its value is the moment when that day is over."""

    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    # the day after has to be one, in every time zone, and MariaDB's DATETIME begins in 1000
    default_validators = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31))]

    def prepare_value(self, value):
        return (
            timezone.localtime(value - timedelta(seconds=1)).date() if isinstance(value, datetime) else value
        )

    def clean(self, value):
        day = super().clean(value)
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min)) if day else None


class DestinationForm(PanelForm):
    """One destination. `mark` is what becomes of its mail, `page` the mailbox if the actor may see it; both for what is
    saved already."""

    mark = page = None
    enabled = Switch(label=gettext_lazy("Deliver"), initial=True)
    address = Text(
        label=gettext_lazy("Destination"),
        required=False,
        max_length=400,
        strip=False,
        attrs={
            "autocapitalize": "none",
            "spellcheck": "false",
            "inputmode": "email",
            "placeholder": gettext_lazy("An address, here or outside"),
        },
    )
    comment = Text(
        label=gettext_lazy("Comment"), required=False, attrs={"placeholder": gettext_lazy("Comment")}
    )
    expires = LastDay(label=gettext_lazy("Last day"), required=False)
    send_as = forms.BooleanField(label=gettext_lazy("May send as this address"), required=False)

    def clean_address(self) -> str:
        typed = self.cleaned_data["address"]
        return addresses.parse_destination(typed) if typed.strip(" ") else ""

    def clean(self):
        data = super().clean()
        if (
            not data.get("address")
            and "address" not in self.errors
            and (data.get("comment") or data.get("expires"))
        ):
            self.add_error("address", _("Which address is this about?"))
        return data

    def destination(self) -> Destination:
        data = self.cleaned_data
        return Destination(
            data["address"], data["enabled"], data["expires"], data["comment"], data.get("send_as", False)
        )


class BaseDestinations(forms.BaseFormSet):
    deletion_widget = forms.CheckboxInput

    def clean(self):
        if any(self.errors):
            return
        found = set()
        for form in self.kept:
            address = form.cleaned_data["address"]
            if address in found:
                form.add_error("address", _("%s stands there twice.") % addresses.to_unicode(address))
            found.add(address)

    @property
    def kept(self) -> list[DestinationForm]:
        return [
            form
            for form in self.forms
            if form.cleaned_data.get("address") and not form.cleaned_data.get("DELETE")
        ]

    @classmethod
    def of(cls, data, rows: list[Destination] = (), *, catch_all: bool = False):
        """For the destinations of an alias, or for what was posted; “add” asks for one more empty row and saves nothing.

        What was posted stands for itself: held against rows that somebody else changed meanwhile, one that looks
        like another's would count as untouched and be left out.
        """
        if data is not None and data.get("do") == "add":
            data = data.copy()
            number = int(data.get("to-TOTAL_FORMS") or 0)
            data["to-TOTAL_FORMS"] = str(min(number + 1, 1000))
            data[f"to-{number}-enabled"] = "on"
        initial = [
            {
                "enabled": to.enabled,
                "address": addresses.to_unicode(to.address),
                "comment": to.comment,
                "expires": to.expires,
                "send_as": to.send_as,
            }
            for to in rows
        ]
        found = cls(data, initial=None if data is not None else initial, prefix="to")
        if catch_all:
            for form in found.forms:
                del form.fields["send_as"]
        return found


Destinations = forms.formset_factory(
    DestinationForm,
    formset=BaseDestinations,
    extra=1,
    can_delete=True,
    max_num=1000,
    validate_max=True,
    absolute_max=1010,
)


class AliasForm(EditForm):
    """What is said once of an alias: who gets the mail where a mailbox has the same address. For others who change the
    alias at the same time it stands for the destinations, too: `chosen` are those of this person, `merged` those to
    go on with after a conflict."""

    shadow = forms.ChoiceField(
        label=gettext_lazy("Who gets the mail"),
        required=False,
        widget=forms.RadioSelect,
        choices=[
            (lifecycle.AS_WELL, gettext_lazy("The mailbox and the destinations")),
            (lifecycle.INSTEAD, gettext_lazy("Only the destinations")),
        ],
    )
    chosen: dict[str, Destination] = {}
    merged: list[Destination] | None = None

    def __init__(self, *args, mailbox: Mailbox | None, source: str = "", row=(), **kwargs):
        about = ("alias", source) if source else None
        super().__init__(*args, row=row, about=about, **kwargs)
        self.source = source
        if mailbox is None:
            del self.fields["shadow"]

    def stored(self, row: Iterable[Destination]) -> dict:
        return {
            to.address: [to.enabled, to.expires.isoformat() if to.expires else "", to.comment, to.send_as]
            for to in row
        }

    def compare(self, row: list[Destination]) -> None:
        if self.opened and not row:
            told = _("%s was deleted meanwhile.") % addresses.to_unicode(self.source)
            raise ValidationError(told, code="gone")
        self.there = {to.address: to for to in row}
        super().compare(row)

    def touched(self, key: str) -> bool:
        return self.stored(self.chosen.values()).get(key) != self.opened.get(key)

    def difference(self, key: str, now: dict) -> Difference:
        yours = self.in_words(self.chosen.get(key)) if self.touched(key) else ""
        return Difference(addresses.to_unicode(key), self.in_words(self.there.get(key)), yours)

    def merge(self, untouched: list[str], now: dict) -> None:
        others = {key: self.there.get(key) for key in untouched}
        merged = {**self.chosen, **others}
        self.merged = [to for to in merged.values() if to and to.address != self.source]
        if self.source in others and "shadow" in self.fields:
            self.data = self.data.copy()
            self.data["shadow"] = lifecycle.AS_WELL if others[self.source] else lifecycle.INSTEAD

    @staticmethod
    def in_words(to: Destination | None) -> str:
        """“switched off, until 3 December, may send as this address”, of one destination."""
        if to is None:
            return _("not a destination")
        words = [_("switched on") if to.enabled else _("switched off")]
        if to.expires:
            day = date_format(timezone.localtime(to.expires - timedelta(seconds=1)))
            words.append(_("until %s") % day)
        if to.send_as:
            words.append(_("may send as this address"))
        return ", ".join([*words, *([to.comment] if to.comment else [])])


class NewAliasForm(AliasForm):
    local = Text(
        label=gettext_lazy("Address"),
        max_length=300,
        strip=False,
        required=False,
        attrs=AS_IS,
    )
    catch_all = forms.BooleanField(
        label=gettext_lazy("Catch-all: takes what no mailbox and no alias takes"), required=False
    )
    field_order = ["local", "catch_all", "shadow"]

    def __init__(self, *args, domain: Domain, **kwargs):
        super().__init__(*args, **kwargs)
        self.domain = domain

    def compare(self, row: list[Destination]) -> None:
        if row:
            told = _("%s is an alias already. Open it to add destinations.")
            raise ValidationError({"local": told % addresses.to_unicode(self.source)})

    def clean(self):
        data = super().clean()
        local = (data.get("local") or "").strip(" ")
        if data.get("catch_all"):
            if local:
                self.add_error("local", _("A catch-all has no name of its own; leave this empty."))
            self.source = f"@{self.domain.name}"
            return data
        if "local" in self.errors:
            return data
        if not local:
            self.add_error("local", _("Write the part before the @, or choose the catch-all."))
            return data
        typed, at, typed_domain = local.rpartition("@")
        if at and typed and typed_domain.lower() in (self.domain.name, str(self.domain)):
            local = typed
        try:
            self.source = addresses.parse_alias_source(f"{local}@{self.domain.name}")
        except ValidationError as error:
            self.add_error("local", error)
        return data


class KeyForm(PanelForm):
    selector = Text(
        label=gettext_lazy("Selector"),
        attrs=AS_IS,
        help_text=gettext_lazy(
            "The name of the key in DNS, such as the month. Each key of a domain has its own."
        ),
    )

    def clean_selector(self) -> str:
        return dkim.parse_selector(self.cleaned_data["selector"])


class SignForm(ReasonForm):
    anyway = forms.BooleanField(
        label=gettext_lazy("Sign anyway: I know that other servers find the record"), required=False
    )
    field_order = ["anyway", "reason"]
    asks_anyway = False  # whether DNS gave a reason to ask

    def may_sign(self, record: Record) -> bool:
        """Whether DNS has the record, as it was just asked; or somebody has said that it does not matter."""
        self.asks_anyway = record.seen != DkimKey.Seen.RIGHT
        if not self.asks_anyway or self.cleaned_data["anyway"]:
            return True
        unknown = record.seen == DkimKey.Seen.UNKNOWN
        self.add_error(
            None,
            _("DNS does not answer, so it is not known whether others find the record of this key.")
            if unknown
            else _("DNS does not have the record of this key, so nobody could verify what it signs."),
        )
        return False
