"""The language of the pages: the browser's, until somebody chooses."""

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.models import Mailbox
from tests import people
from tests.people import find

HEADINGS = {"en": "Sign in to", "de": "Anmelden bei", "fr": "Connexion à", "es": "Iniciar sesión en"}


def language_of(answer) -> str:
    return answer.content.decode().partition('<html lang="')[2][:2]


@pytest.mark.parametrize(
    ("asked", "given"),
    [("", "en"), ("de-AT,de;q=0.9,en;q=0.5", "de"), ("ja, fr;q=0.5", "fr"), ("es-MX", "es"), ("ja", "en"), ("%s\x00", "en")],
)  # fmt: skip
def test_browser_decides_at_first(client, db, asked, given):
    answer = client.get(reverse("accounts:sign_in"), headers={"accept-language": asked})
    assert language_of(answer) == given
    assert HEADINGS[given] in answer.content.decode()


def test_choice_stays_and_follows_the_person(client, world):
    client.post(reverse("language"), {"language": "fr"})
    assert language_of(client.get(reverse("accounts:sign_in"), headers={"accept-language": "de"})) == "fr"
    client.force_login(find("user1"), backend="accounts.authentication.MailboxBackend")
    client.post(reverse("language"), {"language": "es"})
    assert Mailbox.objects.get(email="user1@a.example").language == "es"
    client.cookies.clear()
    client.post(reverse("accounts:sign_in"), {"username": "user1@a.example", "password": people.PASSWORD})
    assert language_of(client.get(reverse("home"), headers={"accept-language": "de"})) == "es"


@pytest.mark.parametrize("choice", ["", "xx", "../de", "de\r\nSet-Cookie: x=y"])
def test_unknown_choice_changes_nothing(as_, world, choice):
    answer = as_("user1").post(reverse("language"), {"language": choice})
    assert answer.status_code == 302
    assert settings.LANGUAGE_COOKIE_NAME not in answer.cookies
    assert Mailbox.objects.get(email="user1@a.example").language == ""


def test_another_site_cannot_lead_away(as_, world):
    answer = as_("user1").post(
        reverse("language"), {"language": "de"}, headers={"referer": "https://evil.example/"}
    )
    assert answer["location"] == "/"
