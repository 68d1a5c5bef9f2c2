"""The result of a study as a run keeps it."""


def study(one: str, two: str, rate: tuple[float, float, float]) -> dict[str, object]:
    """The result that `htbench study report` writes into a run, for one pair of methods."""
    figure = dict(zip(("value", "low", "high"), rate, strict=True))
    share = {"count": 9, "of": 10, "value": 0.9, "low": 0.6, "high": 0.98}
    pair = {"one": one, "two": two, "votes": 120, "ties": 3, "least": 0.6, "needed": None}
    pair |= dict.fromkeys(("forced", "forced_ratio", "decided", "decided_ratio"), figure)
    criterion = {
        "name": "overall",
        "votes": 120,
        "ties": 3,
        "pairs": 40,
        "concepts": 12,
        "people": 20,
        "unranked": "nobody met",
        "warnings": [],
        "standings": [],
        "preferences": [pair],
        "alpha": figure,
        "ac1": None,
        "agreement": [],
    }
    criterion |= dict.fromkeys(("two_people", "same_again", "checks", "sentinels", "left"), share)
    return {
        "version": 1,
        "study": "made-up",
        "rules_changed": False,
        "strength": 1.0,
        "flow": [],
        "criteria": [criterion],
    }
