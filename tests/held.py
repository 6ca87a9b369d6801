"""Rows as Amavis writes them: messages in the quarantine, without Amavis."""

import itertools
import time

from mailpanel.server.models import Maddr, Msg, MsgRcpt, Quarantine

_numbers = itertools.count(1)


def address(email: str) -> int:
    backwards = ".".join(reversed(email.rpartition("@")[2].split(".")))
    return Maddr.objects.get_or_create(partition_tag=0, email=email, defaults={"domain": backwards})[0].pk


def hold(
    *to: str,
    sender: str = "spammer@outside.example",
    subject: str = "Cheap watches",
    kind: str = "S",
    score: float = 17.3,
    ago: float = 60,
    text: bytes = b"",
    passed: tuple[str, ...] = (),
    mail_id: str = "",
) -> list[str]:
    """One message for these recipients; their slips. It was let through to those who are `passed`."""
    mail_id, when = mail_id or f"hold-{next(_numbers):06}", int(time.time() - ago)
    author = f"Some Body <{sender}>"
    text = (
        text
        or (
            f"X-Envelope-To: {', '.join(f'<{one}>' for one in to)}\nFrom: {author}\nTo: {to[0]}\nSubject: {subject}\n\nBuy now.\n"
        ).encode()
    )
    Msg.objects.create(
        mail_id=mail_id, secret_id=f"secret{mail_id[-6:]}", am_id="1-1", time_num=when, time_iso="20260101T000000Z",
        sid=address(sender or "<>"), size=len(text), content=kind, quar_type="Q", quar_loc=mail_id, spam_level=score,
        from_addr=author, subject=subject, client_addr="192.0.2.7", host="mail.example.test",
    )  # fmt: skip
    for number, one in enumerate((*to, *passed), 1):
        gone = one in passed
        MsgRcpt.objects.create(
            mail_id=mail_id, rseqnum=number, rid=address(one), is_local="Y", content="C" if gone else kind,
            ds="P" if gone else "D", rs=" ", bspam_level=score, made=when,
            domain=one.rpartition("@")[2],
        )  # fmt: skip
    for number in range(0, len(text), 200):
        Quarantine.objects.create(
            mail_id=mail_id, chunk_ind=number // 200 + 1, mail_text=text[number : number + 200]
        )
    return [f"{mail_id}.{number}" for number in range(1, len(to) + 1)]
