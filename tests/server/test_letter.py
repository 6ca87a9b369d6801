"""A hostile message becomes plain text: bounded, quick, and with nothing in it that acts."""

import time

import pytest
from django.urls import reverse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domains.models import STEERING
from mailpanel.server import letter
from tests.held import hold

HTML = """<html><head><title>T</title><style>@import url(http://127.0.0.1:9/)</style></head><body>
<h1>Your&nbsp;parcel</h1><p>Pay <a href="http://evil.example/x">here</a> &lt;now&gt;<script>alert(1)</script></p>
<img src=http://127.0.0.1:9/pixel onerror=alert(1)><svg><animate onbegin=alert(1)>in svg</svg>
<noscript><p title="</noscript><img onerror=alert(1)>">x</noscript><iframe src=javascript:alert(1)>inside</iframe>End</body></html>"""


def mail(*parts: bytes, headers: bytes = b"") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return (
        headers
        + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        + body
        + b"--b--\r\n"
    )


def test_plain_text_comes_before_html():
    found = letter.read(
        mail(b"Content-Type: text/plain\r\n\r\nPlain", b"Content-Type: text/html\r\n\r\n<b>Formatted</b>")
    )
    assert (found.text, found.from_html, found.attachments) == ("Plain", False, [])


def test_html_is_text_alone():
    found = letter.read(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + HTML.encode())
    assert found.from_html
    assert "Your parcel" in found.text.replace("\xa0", " ")
    assert "Pay here <now>" in found.text
    for gone in ("alert", "import", "evil.example", "pixel", "inside", "in svg"):
        assert gone not in found.text
    assert "End" in found.text


def test_attachments_are_named_and_nothing_more():
    found = letter.read(
        mail(
            b"Content-Type: text/plain\r\n\r\nHello",
            b'Content-Type: application/pdf; name="\\"><img src=x onerror=alert(1)>.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=',
            b"Content-Type: image/png\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC%0Abc.png\r\n\r\nx",
            b'Content-Type: text/plain; name="=?utf-8?q?=E2=80=AEgnp.exe?="\r\n\r\nnot shown',
            b"Content-Type: text/html\r\nContent-Disposition: attachment; filename="
            + b"n" * 5000
            + b"\r\n\r\nnot shown",
        )
    )
    assert found.text == "Hello"
    names = [file.name for file in found.attachments]
    assert names[0].endswith("onerror=alert(1)>.pdf")
    assert found.attachments[0].size == 5
    assert names[1] == "ü bc.png"
    assert names[2] == "�gnp.exe"
    assert len(names[3]) == 200


def test_headers_are_decoded_and_shortened():
    found = letter.read(
        b"Subject: =?utf-8?b?w5xiZXIgYWxsZXM=?=\r\nX-Long: "
        + b"a" * 9000
        + b"\r\nFrom: =?nonsense?q?=FF?= <a@b.example>\r\n"
        b"To: one@x.example\r\nTo: two@x.example\r\nBCC: secret@x.example\r\n\r\nText"
    )
    headers = dict(found.headers)
    assert headers["Subject"] == "Über alles"
    assert len(headers["X-Long"]) == letter.MOST_VALUE
    assert "a@b.example" in headers["From"]
    assert ("To", "two@x.example") in found.headers
    assert dict(found.first_headers)["To"] == "one@x.example"
    assert "secret" not in str(found.headers)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"\xff\xfe" * 50, b"Content-Type: multipart/mixed\r\n\r\nx", b"Content-Type: ;;;\r\n\r\nx",
        b"Content-Type: text/plain; charset=zlib_codec\r\n\r\nx", b"Content-Type: text/plain; charset=\xff\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n====", b"Content-Type: text/plain; charset*=a'b\r\n\r\nx",
        b"Subject: =?utf-8?b?" + b"=" * 99 + b"?=\r\n\r\nx", b"Content-Type: message/rfc822\r\n\r\n" * 200,
        b"Content-Disposition: attachment; filename*0*=''%; filename*1=x; filename*=\r\n\r\nx", b"From\r\n : \r\n\r\n",
        b"Content-Transfer-Encoding: uuencode\r\n\r\nbegin 644 x\nM\x00\n", b"Content-Type: text/html\r\n\r\n<![",
    ],
)  # fmt: skip
def test_broken_messages_are_read_as_far_as_can_be(data):
    found = letter.read(data)
    assert len(found.text) <= letter.MOST_TEXT


@pytest.mark.parametrize(
    "data",
    [
        mail(*[b"Content-Type: text/plain\r\n\r\nx"] * 20_000),
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(9000)),
        b"Content-Type: text/html\r\n\r\n" + b"<" * 500_000,
        b"Content-Type: text/html\r\n\r\n" + b"<!--" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"<svg>" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"<a " + b"a='" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"&#" * 200_000 + b"<p>" * 50_000 + b" \n" * 50_000,
        *(b"Content-Type: text/html\r\n\r\n" + one * 60_000 for one in (b"<![CDATA[", b"<?x", b"</a", b"<!a ", b"<a '", b'<p ="', b"<br", b"<script ")),
        b"Subject: " + b"=?utf-8?q?a?= " * 40_000 + b"\r\n\r\nx",
        b"".join(b"X-%d: y\r\n" % number for number in range(50_000)),
        b"X: y\r\n" + b"\t \n" * 150_000,
        b"\n" * 3_000_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(900)) + b"\nx\n" * 200_000,
        b"Content-Type: text/plain" + b";" * 500_000 + b"\n\nx",
    ],
    ids=range(21),
)  # fmt: skip
def test_bombs_cost_little(data):
    began = time.process_time()
    found = letter.read(data)
    assert time.process_time() - began < 5
    assert len(found.text) <= letter.MOST_TEXT
    assert len(found.headers) <= letter.MOST_HEADERS
    assert len(found.attachments) <= letter.MOST_PARTS


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=2000),
    st.sampled_from([b"", b"text/html", b"multipart/mixed; boundary=b", b"message/rfc822"]),
)
@example(b"\x1b[2J\xe2\x80\xae\x00", b"text/plain")
def test_nothing_steers(data, kind):
    found = letter.read((b"Content-Type: " + kind + b"\r\n\r\n" if kind else b"") + data)
    assert not STEERING.search(found.text.replace("\n", ""))
    for name, value in found.headers:
        assert not STEERING.search(name + value)
    for file in found.attachments:
        assert not STEERING.search(file.name + file.type)


def test_page_shows_the_beginning_of_a_long_message(world, as_):
    text = b"Subject: Long\n\nBegin\n" + b"line of text\n" * 60_000 + b"The end\n"
    (slip,) = hold("user1@b.example", text=text)
    page = as_("root1").get(reverse("server:quarantine_message", args=[slip])).content.decode()
    assert "Begin" in page
    assert "The end" not in page
    assert "It is longer." in page
    assert len(page) < 100_000
