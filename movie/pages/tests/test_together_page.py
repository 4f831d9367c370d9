"""Watch together in the hands of visitors: a link, a button to join, one list, nothing else shown."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from movie.events.history import get_history
from movie.programmes.membership import MAX_GROUPS, MAX_MEMBERS, join_group, start_group
from movie.programmes.models import GROUP_LIFETIME, Group, GroupMember

PAGE = {"Accept": "text/html"}
PASSWORD = "a long enough passphrase"


@pytest.fixture(autouse=True)
def no_limit(settings):
    settings.WRITE_RATE_LIMIT = 1_000_000


def visitor(*films, stars="5"):
    client = Client()
    client.get("/")
    for film in films:
        client.post(reverse("pages:rate", args=[film]), {"value": stars})
    return client


def start(client, name="Ann"):
    return client.post(reverse("pages:start_group"), {"name": name}, headers=PAGE)["Location"]


def token_of(address):
    return address.rstrip("/").rpartition("/")[2]


def join(client, address, name="Ben"):
    return client.post(reverse("pages:join_group", args=[token_of(address)]), {"name": name}, headers=PAGE)


@pytest.fixture
def pair(api_site):
    """Ann likes westerns (odd films), Ben horror and one western."""
    ann, ben = visitor(1, 3, 5), visitor(2, 4, 7)
    address = start(ann)
    join(ben, address)
    return ann, ben, address


def test_a_link_leads_to_a_question_and_only_the_button_joins(api_site):
    ann, ben = visitor(1, 3), visitor(2, 4)
    address = start(ann)
    html = ben.get(address).content.decode()
    assert "Ann" in html and "They see no stars, no dates" in html
    assert "/movies/" not in html  # nothing of the list before joining
    assert GroupMember.objects.count() == 1
    assert ben.get(reverse("pages:join_group", args=[token_of(address)])).status_code == 405
    assert join(ben, address)["Location"] == address
    assert [each.name for each in ben.get(address).context["members"]] == ["Ann", "Ben"]


def test_both_see_one_list_with_a_reason_of_each(pair):
    ann, ben, address = pair
    lists = [client.get(address).context["entries"] for client in (ann, ben)]
    assert [e.movie.pk for e in lists[0]] == [e.movie.pk for e in lists[1]] != []
    assert not {1, 2, 3, 4, 5, 7} & {entry.movie.pk for entry in lists[0]}
    liked = {"Ann": {1, 3, 5}, "Ben": {2, 4, 7}}
    named = [(member.name, film.pk) for entry in lists[0] for member, film in entry.reasons if film]
    assert {name for name, _film in named} == {"Ann", "Ben"}
    assert all(film in liked[name] for name, film in named)


def test_nothing_of_a_history_is_shown_besides_the_reasons(pair):
    """Neither stars nor a film that is named as no reason, nor the key of the other."""
    ann, _ben, address = pair
    response = ann.get(address)
    html = response.content.decode()
    reasons = {film.pk for e in response.context["entries"] for _member, film in e.reasons if film}
    for film in {2, 4, 7} - reasons:
        assert f"Film {film}<" not in html
    bens = GroupMember.objects.get(name="Ben").visitor
    assert bens not in html and bens.partition(":")[2] not in html
    assert 'value="5" checked' not in html and "★" not in html


@pytest.mark.parametrize("change", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: "x" + t])
def test_a_link_that_the_site_did_not_make_leads_nowhere(api_site, change, django_assert_num_queries):
    address = start(visitor(1))
    token = change(token_of(address))
    for method, name in (("get", "group"), ("post", "join_group"), ("post", "leave_group")):
        client = visitor()
        response = getattr(client, method)(reverse(f"pages:{name}", args=[token]), {"name": "Eve"})
        assert response.status_code == 404
    assert Group.objects.with_token(Group.objects.get().key).first() is None  # a bare key is no link


def test_keys_are_long_and_never_the_same(db):
    keys = {start_group(f"guest:{n}", "A").key for n in range(20)}
    assert len(keys) == 20 and min(map(len, keys)) >= 24


def test_leaving_takes_everything_out_and_the_last_ends_the_group(pair):
    ann, ben, address = pair
    leave = reverse("pages:leave_group", args=[token_of(address)])
    assert ben.get(leave).status_code == 405
    assert ben.post(leave, headers=PAGE)["Location"] == reverse("pages:together")
    response = ann.get(address)
    assert [each.name for each in response.context["members"]] == ["Ann"]
    assert {m.name for e in response.context["entries"] for m, _f in e.reasons} == {"Ann"}
    assert ben.get(address).context["own"] is None
    ann.post(leave, headers=PAGE)
    assert not Group.objects.exists() and ann.get(address).status_code == 404


def test_my_lists_are_listed_and_nobody_elses(pair):
    ann, _ben, address = pair
    assert f'href="{address}"' in ann.get(reverse("pages:together")).content.decode()
    assert address not in Client().get(reverse("pages:together")).content.decode()


@pytest.mark.parametrize("name", ["", " ", "x" * 31, "a\u202eb"])
def test_a_name_that_cannot_be_is_refused(api_site, name):
    response = visitor().post(reverse("pages:start_group"), {"name": name}, headers=PAGE)
    assert response.status_code == 422 and not Group.objects.exists()


def test_names_are_text(api_site):
    ann = visitor(1, 3)
    assert "<b>Ann" not in ann.get(start(ann, "<b>Ann")).content.decode()


def test_a_second_join_changes_the_name_alone(pair):
    _ann, ben, address = pair
    join(ben, address, "Benjamin")
    assert [each.name for each in ben.get(address).context["members"]] == ["Ann", "Benjamin"]


def test_a_full_group_says_so(api_site):
    ann = visitor(1)
    address = start(ann)
    group = Group.objects.get()
    for number in range(MAX_MEMBERS - 1):
        join_group(group, f"guest:{number}", f"G{number}")
    late = visitor(2)
    assert "This group is full" in late.get(address).content.decode()
    assert join(late, address).status_code == 409 and group.members.count() == MAX_MEMBERS


def test_nobody_fills_the_table(api_site):
    ann = visitor()
    for _ in range(MAX_GROUPS):
        start(ann)
    assert ann.post(reverse("pages:start_group"), {"name": "Ann"}, headers=PAGE).status_code == 409


def test_an_old_group_ends(api_site):
    ann = visitor(1)
    address = start(ann)
    Group.objects.update(created=timezone.now() - GROUP_LIFETIME - timedelta(minutes=1))
    assert ann.get(address).status_code == 404
    start(ann)
    assert Group.objects.count() == GroupMember.objects.count() == 1


def test_a_guest_who_signs_in_stays_in_the_groups(pair):
    _ann, ben, address = pair
    user = get_user_model().objects.create_user("ben", password=PASSWORD)
    ben.post(reverse("account_login"), {"login": "ben", "password": PASSWORD})
    assert {each.visitor for each in GroupMember.objects.filter(name="Ben")} == {f"user:{user.pk}"}
    assert ben.get(address).context["own"].name == "Ben"
    assert get_history(f"user:{user.pk}").ratings.keys() == {2, 4, 7}


def test_a_guest_and_an_account_in_one_group_become_one(pair):
    _ann, ben, address = pair
    user = get_user_model().objects.create_user("ben", password=PASSWORD)
    join_group(Group.objects.get(), f"user:{user.pk}", "B.")
    ben.post(reverse("account_login"), {"login": "ben", "password": PASSWORD})
    assert [each.name for each in ben.get(address).context["members"]] == ["Ann", "B."]


def test_a_closed_account_leaves_its_groups(pair):
    user = get_user_model().objects.create_user("cleo")
    join_group(Group.objects.get(), f"user:{user.pk}", "Cleo")
    alone = start_group(f"user:{user.pk}", "Cleo")
    user.delete()
    assert [each.name for each in GroupMember.objects.all()] == ["Ann", "Ben"]
    assert not Group.objects.filter(pk=alone.pk).exists()


def test_every_answer_is_private_and_for_no_search_engine(pair):
    ann, _ben, address = pair
    for client in (ann, Client()):
        response = client.get(address)
        assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
        assert response["X-Robots-Tag"] == "noindex" and response["Referrer-Policy"] == "same-origin"


def test_queries_grow_with_members_and_not_with_films(pair, django_assert_max_num_queries):
    ann, _ben, address = pair
    ann.get(address)
    with django_assert_max_num_queries(9):
        assert len(ann.get(address).context["entries"]) > 2
