"""What messages say: nothing private where others read it, nothing that a name can break."""

import re

import pytest
from django.template.base import TextNode, VariableNode

from apps.notifications import texts
from apps.notifications.texts import CATALOGUE, KINDS, LANGUAGES, Facts

LINK = "https://book.example/manage/abc/"
ZOE = Facts("Zoë Canary", "Harbor Clinic", "Thursday at 9:00 AM EST", "In person: 12 Harbor Street", LINK)
EACH = [(language, kind) for language in LANGUAGES for kind in KINDS]


@pytest.mark.parametrize(("language", "kind"), EACH)
def test_every_text_is_there_and_has_variables_but_no_logic(language: str, kind: str) -> None:
    known = set(Facts.__dataclass_fields__)

    for text in CATALOGUE[language][kind]:
        nodes = texts.PLAIN.from_string(text).nodelist
        assert text
        assert all(isinstance(node, TextNode | VariableNode) for node in nodes)
        assert {node.filter_expression.token for node in nodes if isinstance(node, VariableNode)} <= known


@pytest.mark.parametrize(("language", "kind"), EACH)
def test_subject_and_sms_name_clinic_and_time_and_nobody(language: str, kind: str) -> None:
    subject, sms = texts.email(kind, language, ZOE).subject, texts.sms(kind, language, ZOE)

    for said in (subject, sms):
        assert ZOE.clinic in said
        assert ZOE.when in said
        assert "Zo" not in said
        assert "person" not in said
    assert LINK in sms
    assert LINK not in subject


@pytest.mark.parametrize(("language", "kind"), EACH)
def test_both_parts_say_the_same(language: str, kind: str) -> None:
    found = texts.email(kind, language, ZOE, unsubscribe="https://book.example/u/1")

    as_text = re.sub(r"<style.*?</style>|<[^>]+>", " ", found.html)
    assert set(found.text.replace("-- ", "").split()) <= set(as_text.split())
    assert f'<html lang="{language}">' in found.html


@pytest.mark.parametrize(
    "name",
    [
        "{{ settings.SECRET_KEY }}",
        "{% load static %}",
        "<script>alert(1)</script>",
        "Zoë 🦊",
        "עומר כהן",
        'O\'Neil & "Sons"',
        "{0.__class__}",
    ],
)
def test_a_name_is_shown_as_it_is(name: str) -> None:
    found = texts.email("confirmation", "en", Facts(name, "Harbor", "Thursday", "", LINK))

    assert f"Hello {name}," in found.text
    assert "<script" not in found.html


@pytest.mark.parametrize("evil", ["Harbor\r\nBcc: all@example.org", "Harbor\x0bX", "Harbor\u2028X", "Harbor\nBcc: x@y"])
def test_a_clinics_name_cannot_begin_another_header(evil: str) -> None:
    subject = texts.email("reminder", "en", Facts("Zoe", evil, "Thursday", "", LINK)).subject

    assert subject.isprintable()
    assert "Harbor" in subject


def test_a_name_cannot_add_a_paragraph() -> None:
    said = texts.email("confirmation", "en", Facts("Zoe\n\nPay at https://evil.example/", "Harbor", "Thursday", "", LINK)).text

    assert "Hello Zoe Pay at" in said


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Thursday, November 26, 2026 at 9:00 AM EST"), ("es", "jueves 26 de noviembre de 2026, 9:00 a.m. EST")],
)
def test_the_time_is_in_words_and_says_its_zone(language: str, said: str) -> None:
    assert texts.when(1_795_701_600, "America/New_York", language).replace("\xa0", " ") == said


@pytest.mark.parametrize(("wanted", "language"), [("es-MX", "es"), ("ES", "es"), ("en", "en"), ("", "en"), ("../../etc", "en")])
def test_who_speaks_another_language_is_written_to_in_english(wanted: str, language: str) -> None:
    assert texts.language_of(wanted) == language
