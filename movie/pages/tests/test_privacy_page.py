"""The privacy page says what this site stores: it follows the settings and knows every cookie."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from movie.events.rating_weights import KEPT
from movie.pages.stored_data import cookies

DYNAMODB = {
    "BACKEND": "movie.events.archive.dynamodb.DynamoDBArchive",
    "OPTIONS": {"table": "clicks-of-ours", "region": "eu-central-1", "endpoint_url": ""},
}
KAFKA = {
    "BACKEND": "movie.events.stream.kafka.KafkaEventStream",
    "OPTIONS": {"topic": "films.events", "bootstrap_servers": ("127.0.0.1:9",)},
}


def page(client, **headers):
    answer = client.get(reverse("pages:privacy"), headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_embedded_site_names_no_service(client, db):
    html = page(client)
    for absent in ("DynamoDB", "Kafka", "Redis", "Amazon"):
        assert absent not in html
    assert "Nobody. Pages load nothing from other sites" in html


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("CLICK_ARCHIVE", DYNAMODB, ["clicks-of-ours", "eu-central-1", "Amazon Web Services"]),
        ("EVENT_STREAM", KAFKA, ["films.events", "go after 14 days"]),
        ("REDIS_URL", "redis://127.0.0.1:6379/0", ["Redis"]),
        ("POSTER_BASE_URL", "https://image.example.org/w342", ["image.example.org"]),
        ("PRIVACY_CONTACT", "privacy@example.org", ["privacy@example.org"]),
        ("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend", ["mail server"]),
    ],
)
def test_each_part_that_is_switched_on_is_named(db, settings, setting, value, words):
    client = Client()
    before = page(client)
    setattr(settings, setting, value)
    after = page(client)
    for word in words:
        assert word in after and word not in before


def test_the_retention_of_kafka_is_the_topics(client, db, settings):
    settings.EVENT_STREAM, settings.KAFKA_RETENTION_HOURS = KAFKA, 72
    assert "the messages themselves go after 3 days" in page(client)


def test_how_long_it_keeps_what_limits_ratings_is_said(client, db):
    html = page(client)
    for kind, kept in (("Weights of ratings", f"digests {KEPT.days} days"), ("Limits", "two hours at most")):
        row = html[html.index(f">{kind}<") :]
        assert kept in row[: row.index("</tr>")]


def test_every_page_leads_there(client, db):
    assert f'href="{reverse("pages:privacy")}"' in client.get(reverse("pages:home")).content.decode()


@pytest.mark.parametrize(("language", "word"), [("ko", "개인정보"), ("zh-hans", "隐私")])
def test_in_other_languages(client, db, language, word):
    assert word in page(client, **{"accept-language": language})


def test_every_cookie_is_named(api_site):
    """Of everything a visitor can do that sets one."""
    get_user_model().objects.create_user("ann", password="a long enough passphrase")
    client = Client()
    client.get("/")
    seen = set(client.cookies)
    client.post(reverse("pages:choose_theme"), {"theme": "dark"})
    client.post(reverse("pages:choose_posters"), {"posters": "photographed"})
    client.get(reverse("pages:home"), {"familiarity": "1"})
    client.post(reverse("pages:choose_model"), {"model": "neighbours"})
    client.post(reverse("set_language"), {"language": "ko"})
    client.post(reverse("pages:rate", args=[1]), {"value": "4"})
    client.post(reverse("account_login"), {"login": "ann", "password": "a long enough passphrase"})
    seen |= set(client.cookies)
    assert {"guest", "sessionid", "csrftoken", "theme", "posters", "model", "familiarity", "messages"} <= seen
    assert seen <= {cookie.name for cookie in cookies()}
