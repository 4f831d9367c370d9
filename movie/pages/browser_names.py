"""Name the browser and the system of a User-Agent header, as people know them."""

from __future__ import annotations

# In this order: most browsers also name the ones that they are like.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "CrOS": "ChromeOS",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}
LONGEST = 60


def browser_name(user_agent: str) -> str:
    """Return such as "Firefox, Linux"; for a program that is no known browser the beginning of its name."""
    named = (next((known[part] for part in known if part in user_agent), "") for known in (BROWSERS, SYSTEMS))
    return ", ".join(filter(None, named)) or user_agent[:LONGEST] or "?"
