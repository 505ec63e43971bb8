"""The demo's mailbox, as a process: it takes what providers take, and shows it without running any of it."""

import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest

from apps.local.environment import ROOT, free_ports
from apps.local.mailbox import KEPT, Letter, Mailbox, as_letter
from apps.local.probes import answers

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def running() -> Iterator[tuple[str, int]]:
    """(the page's address, the SMTP port) of a mailbox in a process of its own."""
    port, smtp_port = free_ports(2)
    command = [sys.executable, "-m", "apps.local.mailbox", "--port", str(port), "--smtp-port", str(smtp_port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}/demo/mailbox/"
    while not answers(url):
        assert process.poll() is None
    yield url, smtp_port
    process.terminate()
    assert process.wait(timeout=10) == 0


def letter(subject: str, *, message_id: str = "<1@example.org>", text: str = "Hello\nhttps://book.example/x") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"], message["Message-ID"] = (
        subject,
        "a@example.org",
        "b@example.org",
        message_id,
    )
    message.set_content(text)
    message.add_attachment(b"BEGIN:VCALENDAR", maintype="text", subtype="calendar", filename="visit.ics")
    return message


def test_it_shows_email_and_sms_and_runs_none_of_it(running: tuple[str, int]) -> None:
    url, smtp_port = running
    with smtplib.SMTP("127.0.0.1", smtp_port) as smtp:
        smtp.send_message(letter(f"Visit {EVIL}", text=f"{EVIL} https://book.example/manage/x/ javascript:alert(1)"))
        smtp.send_message(letter("The same again"))
    sms = {"To": "+12125550177", "From": "+15005550006", "Body": f"{EVIL} https://book.example/y"}
    made = httpx.post(f"{url.partition('/demo')[0]}/2010-04-01/Accounts/AC1/Messages.json", data=sms)
    page = httpx.get(url)

    assert made.status_code == 201
    assert made.json()["sid"].startswith("SM")
    assert "<script" not in page.text
    assert page.text.count("<article>") == 2
    assert '<a href="https://book.example/manage/x/"' in page.text
    assert 'href="javascript' not in page.text
    assert "visit.ics" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    found = httpx.get(f"{url.partition('/demo')[0]}/2010-04-01/Accounts/AC1/Messages.json", params={"To": "+12125550177"}).json()
    assert [one["body"] for one in found["messages"]] == [sms["Body"]]


def test_what_it_does_not_know_it_refuses(running: tuple[str, int]) -> None:
    url, _ = running

    assert httpx.post(url, content=b"x").status_code == 404
    assert httpx.post(f"{url}Messages.json", content=b"x" * (1 << 21)).status_code == 404


def test_it_keeps_the_last_ones_and_each_message_once() -> None:
    box, first = Mailbox(), as_letter(letter("Hello").as_bytes(), to="b@example.org")
    for number in range(KEPT + 5):
        box.put(first)
        box.put(Letter("SMS", str(number), first.at, "", "", "", str(number)))

    assert len(box.letters()) == KEPT
    assert box.letters()[0].text == str(KEPT + 4)
    assert len({one.id for one in box.letters()}) == KEPT
