"""Clients of the programs beside us, and the probes that see whether they work. A leaf: no model, no request, no role."""

from dataclasses import dataclass
from enum import StrEnum

from mailpanel.daemons.text import Text


class DaemonError(Exception):
    """A daemon did not do what was asked. The message is a sentence for people; the full reply goes to the log."""


class State(StrEnum):
    OK = "ok"
    WARN = "warn"  # works, and wants attention: a certificate with 12 days to live, a certificate that nobody trusts
    BAD = "bad"
    OFF = "off"  # not checked: switched off in the settings, or there is nothing to ask


@dataclass(frozen=True)
class Probe:
    """What one probe saw at one time. Plain data and no behaviour, so that it can be shown, printed and kept alike.

    There are four states and not two, since the page has a mark for each; `ok` is what alerts and uptime ask.
    `key` stays the same for ever, `name`, `group`, `detail` and `hint` are texts that are translated where they are
    shown. `detail` is one sentence; `hint` is its likely cause and the next step, `command` what to type for that, both
    empty where nothing is wrong. `stages` are the parts of `seconds`, by name, of a probe that has such.
    """

    key: str
    group: Text
    name: Text
    state: State
    detail: Text
    hint: Text
    command: str
    seconds: float
    stages: tuple[tuple[Text, float], ...] = ()

    @property
    def ok(self) -> bool:
        return self.state is not State.BAD


class Trouble(Exception):
    """What is wrong, in the words of `Probe`. A probe raises it instead of returning the sentence for all well."""

    def __init__(
        self, detail: Text, hint: Text | None = None, command: str = "", *, state: State = State.BAD
    ):
        super().__init__(detail)
        self.detail, self.hint, self.command, self.state = detail, hint or Text(""), command, state
