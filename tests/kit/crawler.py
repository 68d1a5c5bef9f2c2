"""A crawler that uses every control of a page and of the pages that it links to."""

from pathlib import Path
from typing import Any

CONTROLS = "button, select, input, textarea, summary, a[href^='#']"
LINKS = "[...document.links].map((link) => link.href)"
HIDDEN = "(each) => !each.isConnected || !each.checkVisibility() || each.disabled"


def use_every_control(browser: Any, first: Path) -> int:
    """Use all controls of a page and of the pages that it leads to; gives the number of pages.

    Raises:
        AssertionError: for an error on the console, in a script, or of a request.
    """
    problems: list[str] = []
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.on("console", lambda text: problems.append(text.text) if text.type == "error" else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("requestfailed", lambda request: note_failure(request, problems))
    waiting, seen = [first.as_uri()], {first.as_uri()}
    while waiting:
        tab.goto(waiting.pop())
        tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        links = {link.partition("#")[0] for link in tab.evaluate(LINKS)}
        more = {link for link in links if link.startswith("file:") and link.endswith(".html")}
        more -= seen
        waiting, seen = [*waiting, *sorted(more)], seen | more
        for control in tab.query_selector_all(CONTROLS):
            if not control.evaluate(HIDDEN):
                use(tab, control)
                assert problems == [], control.evaluate("(element) => element.outerHTML")[:200]
    assert problems == []
    tab.close()
    return len(seen)


def note_failure(request: Any, problems: list[str]) -> None:
    """Note a failed request, unless the page itself gave it up for another picture."""
    if request.failure != "net::ERR_ABORTED":
        problems.append(f"{request.failure}: {request.url[:200]}")


def use(tab: Any, control: Any) -> None:
    """Use a control as its kind wants it, twice where it is pressed."""
    kind = control.evaluate("(element) => element.type || element.tagName.toLowerCase()")
    if kind.startswith("select"):
        for k in range(control.evaluate("(element) => element.options.length")):
            control.select_option(index=k)
    elif kind == "range":
        for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
            control.press(key)
    elif kind in ("search", "text", "number", "textarea"):
        for text in ("lemon", "(", ""):
            control.fill(text)
    else:
        for _ in range(2):
            control.evaluate("(element) => element.click()")
            tab.evaluate("() => new Promise(requestAnimationFrame)")
