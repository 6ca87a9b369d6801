"""What needs attention stands on the home page: what the actor may see, and nothing of anybody else's."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts import attention
from accounts.models import Mailbox
from domains.models import Alias, Domain
from tests.people import find


def words(name: str) -> list[str]:
    return [concern.words for concern in attention.concerns(find(name))]


@pytest.fixture
def quiet(world):
    Mailbox.objects.update(last_used=timezone.now())


def test_nothing(quiet, as_):
    assert words("root1") == []
    assert b"Needs attention" not in as_("root1").get(reverse("home")).content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: Mailbox.objects.filter(email="user1@b.example").update(fullness=95), "1 mailbox is nearly full"),
        (
            lambda: Mailbox.objects.filter(email="user1@b.example").update(
                last_used=None, created=timezone.now() - timedelta(days=31)
            ),
            "1 mailbox was never used",
        ),
        (
            lambda: Alias.objects.filter(source="secret@b.example").update(
                expires=timezone.now() + timedelta(days=13)
            ),
            "1 alias destination ends within two weeks",
        ),
        (
            lambda: Mailbox.objects.filter(email="user1@b.example").update(enabled=False),
            "1 alias destination is switched off",
        ),
        (
            lambda: AccessAttempt.objects.create(
                username="user1@b.example",
                ip_address="192.0.2.1",
                failures_since_start=settings.AXES_FAILURE_LIMIT,
                attempt_time=timezone.now(),
                get_data="",
                post_data="",
                http_accept="",
                path_info="",
                user_agent="",
            ),
            "Sign-in of user1@b.example is paused after wrong passwords",
        ),
        (
            lambda: Domain.objects.filter(name="b.example").update(quota_pool=100, quota_given=95),
            "b.example has nothing left to give",
        ),
        (
            lambda: Domain.objects.filter(name="b.example").update(max_mailboxes=2),
            "b.example has nothing left to give",
        ),
    ],
)  # fmt: skip
def test_each_concern_is_for_those_who_see_it(quiet, as_, change, said):
    change()
    for name in ("root1", "dadm_b", "dadm_ab", "help_all"):
        assert words(name) == [said], name
    for name in ("dadm_a", "help_a"):
        assert words(name) == [], name
    shown = as_("dadm_b").get(reverse("home"))
    assert said in shown.content.decode()
    concern = attention.concerns(find("dadm_b"))[0]
    assert as_("dadm_b").get(concern.url).status_code == 200


def test_large_numbers_are_not_counted(quiet, django_assert_max_num_queries):
    Mailbox.objects.bulk_create(
        Mailbox(
            email=f"x{number}@hosted.example",
            domain_id="hosted.example",
            fullness=99,
            last_used=timezone.now(),
        )
        for number in range(300)
    )
    with django_assert_max_num_queries(10):
        assert words("root1") == ["100+ mailboxes are nearly full"]


def test_helpdesk_has_the_search_box_first(world, as_):
    assert b'id="whom"' in as_("help_a").get(reverse("home")).content
    assert b'id="whom"' not in as_("dadm_a").get(reverse("home")).content


def test_domains_tell_what_their_mailboxes_hold(world, as_):
    Domain.objects.filter(name="b.example").update(quota_used=3 * 2**30, quota_given=5 * 2**30)
    shown = as_("dadm_b").get(reverse("home")).content.decode()
    assert "<b>3 GB</b> of 5 GB" in shown
    assert "3 GB in use" in shown
