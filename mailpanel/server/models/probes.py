"""What the probes saw: the last word of each, two days of every minute, ninety days of every hour, and what was wrong."""

from datetime import UTC, datetime

from django.db import models

from mailpanel.daemons import State
from mailpanel.daemons.text import Text

KEY = 32  # characters of a probe's name


class Standing(models.Model):
    """The last word of each probe. `detail`, `hint` and the names of `stages` are packed texts (`Text.packed`)."""

    key = models.CharField(primary_key=True, max_length=KEY)
    state = models.CharField(max_length=4)
    since = models.DateTimeField()  # when it came into this state
    checked = models.DateTimeField(null=True)  # None: never yet, somebody looks for the first time
    seconds = models.FloatField()
    detail = models.JSONField(default=dict)
    hint = models.JSONField(default=dict)
    command = models.TextField(default="")
    stages = models.JSONField(default=list)  # [[packed text, seconds], …]
    failures = models.PositiveIntegerField(default=0)  # bad rounds in a row, up to the last one
    fine = models.PositiveIntegerField(default=0)  # rounds in a row that were not bad
    asked = models.DateTimeField(null=True)  # somebody is looking since then

    class Meta:
        db_table = "probe_standing"

    @property
    def ok(self) -> bool:
        return self.state != State.BAD


class Result(models.Model):
    """One probe in one minute (of Unix time): kept for two days."""

    pk = models.CompositePrimaryKey("key", "minute")
    key = models.CharField(max_length=KEY)
    minute = models.PositiveIntegerField()
    state = models.CharField(max_length=4)
    seconds = models.FloatField()

    class Meta:
        db_table = "probe_result"
        indexes = [models.Index(fields=["minute"], name="probe_result_minute")]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.minute * 60, UTC)


class Hour(models.Model):
    """The results of one probe in one hour (of Unix time), counted by state: kept for ninety days. `seconds` is the sum of
    all that were not off, `slowest` the longest."""

    pk = models.CompositePrimaryKey("key", "hour")
    key = models.CharField(max_length=KEY)
    hour = models.PositiveIntegerField()
    ok = models.PositiveSmallIntegerField(default=0)
    warn = models.PositiveSmallIntegerField(default=0)
    bad = models.PositiveSmallIntegerField(default=0)
    off = models.PositiveSmallIntegerField(default=0)
    seconds = models.FloatField(default=0)
    slowest = models.FloatField(default=0)

    class Meta:
        db_table = "probe_hour"
        indexes = [models.Index(fields=["hour"], name="probe_hour_hour")]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.hour * 3600, UTC)


class Incident(models.Model):
    """From a probe's first bad round to the first of the good ones after which it counts as over. `cause` is the incident
    that explains this one: about that one alone people are told. Kept for two years."""

    key = models.CharField(max_length=KEY)
    began = models.DateTimeField()
    better = models.DateTimeField(null=True)  # the first good round since the last bad one
    ended = models.DateTimeField(null=True)  # the same, once there were enough of them
    cause = models.ForeignKey("self", models.SET_NULL, null=True, related_name="effects")
    detail = models.JSONField(default=dict)  # as in Standing, of the first bad round
    hint = models.JSONField(default=dict)
    command = models.TextField(default="")
    rounds = models.PositiveIntegerField(default=1)  # bad ones
    flaps = models.PositiveIntegerField(
        default=0
    )  # how often it was good again in between, but not for long enough

    class Meta:
        db_table = "incident"
        indexes = [
            models.Index(fields=["began"], name="incident_began"),
            models.Index(fields=["key", "began"], name="incident_key_began"),
        ]

    @property
    def sentence(self) -> Text:
        return Text.unpacked(self.detail)


class Alert(models.Model):
    """One message that somebody was sent, or that waits to be sent. Without an incident it is a trial."""

    class About(models.TextChoices):
        DOWN = "down"
        CLEAR = "clear"
        TRIAL = "trial"

    class Way(models.TextChoices):
        MAIL = "mail"
        WEBHOOK = "webhook"

    incident = models.ForeignKey(Incident, models.CASCADE, null=True, related_name="alerts")
    about = models.CharField(max_length=8, choices=About)
    way = models.CharField(max_length=8, choices=Way)
    made = models.DateTimeField()
    sent = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=255, default="")  # of the last try

    class Meta:
        db_table = "alert"
        indexes = [models.Index(fields=["made"], name="alert_made")]
