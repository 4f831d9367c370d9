"""An account in a real browser, with and without JavaScript, and a security key."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.test_journey import PHONE, visit  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

PASSWORD = "forty-two-reels-of-film"


def sign_up(page: Any, name: str, email: str = "") -> None:
    page.goto("/accounts/signup/")
    page.get_by_label(re.compile("^Username")).fill(name)
    page.locator("input[name=email]").fill(email)
    page.locator("input[name=password1]").fill(PASSWORD)
    page.locator("input[name=password2]").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Make an account").click()
    page.wait_for_url(re.compile(r"://[^/]+/$"))


def sign_in(page: Any, name: str) -> None:
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()


def confirm_password(page: Any) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it you?")
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()


def open_account(page: Any, name: str) -> None:
    page.locator("details.site-menu > summary").click()
    page.get_by_role("link", name="Account", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Account")
    expect(page.get_by_label("User name")).to_have_value(name)


def link_sent_to(site_folder: Any, address: str) -> str:
    """Return the link of the latest confirmation mail to an address; mails are in the log of the server."""
    sent = re.compile(
        rf"^To: {re.escape(address)}$.*?(/accounts/confirm-email/\S+)", re.MULTILINE | re.DOTALL
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := sent.findall((site_folder / "server.log").read_text()):
            return found[-1]
        time.sleep(0.2)
    raise AssertionError(f"no mail to {address}")


@pytest.mark.parametrize("script", [True, False])
def test_an_account_from_its_name_to_its_end(visit, site_folder, script):  # noqa: F811
    name = f"keeper{int(script)}"
    options = {"viewport": PHONE, "java_script_enabled": script, "accept_downloads": True}
    with visit(**options) as (page, _watch), visit(**options) as (elsewhere, _other):
        sign_up(page, name, f"{name}@example.org")
        open_account(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"] if script else True

        # The name, by the keyboard alone.
        page.get_by_label("User name").focus()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(f"{name}-new")
        page.keyboard.press("Enter")
        expect(page.locator(".messages")).to_contain_text(f"Your name is {name}-new now")

        # The address, after the password and a mail.
        page.get_by_role("link", name="Change the address").click()
        page.get_by_label("New email address").fill(f"{name}@films.test")
        page.get_by_role("button", name="Change the address").click()
        confirm_password(page)
        expect(page.locator("main")).to_contain_text(f"A link was sent to {name}@films.test")
        page.goto(link_sent_to(site_folder, f"{name}@films.test"))
        page.locator("main").get_by_role("button", name="Confirm").click()
        page.goto("/account/")
        expect(page.locator("main")).to_contain_text(f"{name}@films.test")

        # Another browser, seen and ended from here.
        sign_in(elsewhere, f"{name}-new")
        elsewhere.wait_for_url(re.compile(r"://[^/]+/$"))
        page.get_by_role("link", name="Show and end them").click()
        rows = page.locator(".account-row")
        expect(rows).to_have_count(2)
        page.get_by_role("button", name="End this session").click()
        expect(rows).to_have_count(1)
        elsewhere.goto("/account/")
        expect(elsewhere).to_have_url(re.compile("/accounts/login/"))

        # Everything as a file.
        page.goto("/account/")
        with page.expect_download() as download:
            page.get_by_role("link", name="Save the file").click()
        data = json.loads(download.value.path().read_text())
        assert data["account"]["username"] == f"{name}-new"

        # And the end.
        page.get_by_role("link", name="Close it").click()
        page.locator("input[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Delete my account").click()
        expect(page.locator(".messages")).to_contain_text("Your account and everything in it is deleted")
        sign_in(page, f"{name}-new")
        expect(page.locator("main")).to_contain_text("not correct")


def test_a_security_key_from_its_registration_to_a_sign_in(browser, site):
    context = browser.new_context(base_url=site.replace("127.0.0.1", "localhost"), locale="en")
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    tools = context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": True}
    key |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    tools.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    try:
        sign_up(page, "keyholder")
        page.goto("/accounts/2fa/")
        page.get_by_role("button", name="Add a key").click()
        confirm_password(page)
        page.get_by_label("Name of the key").fill("Ring")
        page.get_by_role("button", name="Add the key").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")
        page.goto("/accounts/2fa/webauthn/")
        expect(page.locator(".account-row")).to_contain_text("Ring")

        context.clear_cookies()
        sign_in(page, "keyholder")
        expect(page.get_by_role("heading", level=1)).to_have_text("Second factor")
        page.goto("/account/")
        expect(page).to_have_url(
            re.compile("/accounts/2fa/authenticate/")
        )  # the password alone is no sign-in
        page.get_by_role("button", name="Use a security key").click()
        page.wait_for_url(re.compile(r"://[^/]+/$"))
        page.goto("/accounts/2fa/webauthn/")
        expect(page.locator(".account-row")).to_contain_text("last used")
        assert complaints == []
    finally:
        context.close()
