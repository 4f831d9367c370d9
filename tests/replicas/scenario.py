"""What must be true of a site on several machines; each function returns the lines of the table."""

from __future__ import annotations

import threading
import time
import uuid

from predictors.serving.registry import ModelStore
from tests.faults.visitors import Load, VisitorThread
from tests.replicas.browser import Browser
from tests.replicas.machines import Machine, wait_until
from tests.replicas.site import Site

PASSWORD = "Projector-and-paper-7"
NEW_MODEL_SECONDS = 15

Lines = list[tuple[str, str]]


def a_guest_is_known_everywhere(site: Site) -> Lines:
    first, second = (machine.address for machine in site.machines)
    guest = Browser()
    guest.get(first, "/")
    before = guest.get(second, "/recommend/").films
    rated = before[0]
    answer = guest.post(first, f"/movies/{rated}/rate/", event_id=str(uuid.uuid4()), value="5")
    assert answer.status == 303, answer
    after = guest.get(second, "/recommend/").films  # the very next request
    assert rated in before and rated not in after and after != before, (rated, before, after)
    assert (
        guest.get(second, "/history/").films.count(rated)
        or f"/movies/{rated}/" in guest.get(second, "/history/").text
    )
    # And back: what is written at the second machine is there at the first.
    hidden = after[0]
    assert guest.post(second, f"/movies/{hidden}/dismiss/", event_id=str(uuid.uuid4())).status == 303
    assert hidden not in guest.get(first, "/recommend/").films
    # A form sent to both machines, as a proxy may do, counts once.
    event_id = str(uuid.uuid4())
    for machine in (first, second):
        assert guest.post(machine, f"/movies/{site.films[-1]}/watchlist/", event_id=event_id).status == 303
    assert site.stored().count(event_id) == 1
    return [("a guest's rating at one machine changes the list at the other", "in the next request")]


def a_member_is_signed_in_everywhere(site: Site) -> Lines:
    first, second = (machine.address for machine in site.machines)
    member = Browser()
    member.get(first, "/accounts/signup/")
    fields = {"username": f"m{uuid.uuid4().hex[:12]}", "password1": PASSWORD, "password2": PASSWORD}
    assert member.post(second, "/accounts/signup/", **fields).status == 302
    page = member.get(first, "/")
    assert fields["username"] in page.text
    assert (
        member.post(first, f"/movies/{site.films[5]}/rate/", event_id=str(uuid.uuid4()), value="4.5").status
        == 303
    )
    assert f"/movies/{site.films[5]}/" in member.get(second, "/history/").text
    assert member.post(second, "/accounts/logout/").status == 302
    assert fields["username"] not in member.get(first, "/").text
    return [("a member signs up, rates and signs out at different machines", "one session")]


def choices_and_forms_hold_everywhere(site: Site) -> Lines:
    first, second = (machine.address for machine in site.machines)
    guest = Browser()
    guest.get(first, "/")
    assert guest.post(second, "/i18n/setlang/", language="ko", next="/").status == 302
    assert guest.post(first, "/theme/", theme="dark").status == 303
    for machine in (first, second):
        text = guest.get(machine, "/").text
        assert '<html lang="ko" data-theme="dark">' in text
    film = guest.get(first, "/").films[0]
    refused = guest.post(second, f"/movies/{film}/rate/", token=False, value="4")
    assert refused.status == 403
    return [("language, theme and form tokens of one machine hold at the other", "and no token is refused")]


def a_model_goes_live_everywhere(site: Site) -> Lines:
    """Activated by a command on one machine; each machine is asked until its list is the new one."""
    guest = Browser()
    guest.get(site.machines[0].address, "/")  # a guest without a history is answered by "popular"

    def on_top(machine: Machine) -> int:
        return guest.get(machine.address, "/recommend/").films[0]

    old = {on_top(machine) for machine in site.machines}
    assert len(old) == 1
    changed_at: dict[str, float] = {}

    def watch(machine: Machine) -> None:
        wait_until(lambda: on_top(machine) not in old, machine.name, NEW_MODEL_SECONDS)
        changed_at[machine.name] = time.time()

    watchers = [threading.Thread(target=watch, args=(machine,)) for machine in site.machines]
    for watcher in watchers:
        watcher.start()
    site.machines[0].manage("models", "activate", "popular", "latest")
    switched_at = (site.store / "popular" / "current").stat().st_mtime
    for watcher in watchers:
        watcher.join()
    assert len(changed_at) == len(site.machines), f"not everywhere: {changed_at}"
    assert len({on_top(machine) for machine in site.machines}) == 1
    ModelStore(site.store).roll_back("popular")
    back = wait_until(
        lambda: {on_top(machine) for machine in site.machines} == old,
        "every machine serves the version of before",
        NEW_MODEL_SECONDS,
    )
    ways = zip(site.machines, ("its own folder", "a pulled copy"), strict=True)
    return [
        *(
            (f"an activated model is served by {each.name} from {way} after", f"{after:.1f} s")
            for each, way in ways
            for after in [changed_at[each.name] - switched_at]
        ),
        ("rolled back everywhere after", f"{back:.1f} s"),
    ]


def a_machine_dies(site: Site, *, visitors: int, seconds: float) -> Lines:
    """Visitors go on through the proxy while one machine is killed, and is started again."""
    victim, other = site.machines
    load = Load(site.proxy.address[1], site.films)
    threads = [VisitorThread(load, number, 0.1) for number in range(visitors)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(load.acknowledged) >= 2 * visitors, "visitors are served")
    load.now = f"{victim.name} is killed"
    victim.kill()
    killed_at, until = len(load.acknowledged), time.monotonic() + seconds
    wait_until(
        lambda: time.monotonic() > until and len(load.acknowledged) > killed_at + visitors,
        "the other carries on",
    )
    assert other.runs() and not victim.runs()
    victim.start()
    back = wait_until(lambda: site.answers(victim), f"{victim.name} is back")
    load.now = "nothing"
    time.sleep(seconds / 2)
    load.stop.set()
    for thread in threads:
        thread.join()
    stored = site.stored()
    lost = set(load.ledger.owners) - set(stored)
    twice = len(stored) - len(set(stored))
    refused = sum(
        n
        for (_, what), n in load.answers.items()
        if not what.startswith(("200", "204", "303", "connection lost"))
    )
    broken = sum(n for (_, what), n in load.answers.items() if what.startswith("connection lost"))
    assert not lost and not twice and not refused and not load.wrong and not load.unanswered, (
        load.answers,
        load.wrong,
    )
    slow = sorted(load.seconds)
    return [
        ("a machine is killed under load: acknowledged", f"{len(load.acknowledged)}"),
        ("  lost / doubled / refused", f"{len(lost)} / {twice} / {refused}"),
        ("  connections that broke and were made anew", f"{broken}"),
        (
            "  acknowledged within, median and worst",
            f"{slow[len(slow) // 2] * 1000:.0f} and {slow[-1] * 1000:.0f} ms",
        ),
        ("  the killed machine is back after", f"{back:.1f} s"),
    ]
