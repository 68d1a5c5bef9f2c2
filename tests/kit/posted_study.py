"""A study's result as a run keeps it."""


def study(one: str, two: str, rate: tuple[float, float, float]) -> dict[str, object]:
    """What `htbench study report` writes into a run, of one pair of methods."""
    figure = dict(zip(("value", "low", "high"), rate, strict=True))
    share = {"count": 9, "of": 10, "value": 0.9, "low": 0.6, "high": 0.98}
    pair = {"one": one, "two": two, "votes": 120, "ties": 3} | dict.fromkeys(
        ("forced", "forced_ratio", "decided", "decided_ratio"), figure
    )
    criterion = {
        "name": "overall", "votes": 120, "ties": 3, "pairs": 40, "concepts": 12, "people": 20, "unranked": "nobody met", "warnings": [], "standings": [],
        "preferences": [pair], "alpha": figure, "ac1": None, "agreement": [],
    } | dict.fromkeys(("two_people", "same_again", "checks", "sentinels", "left"), share)  # fmt: skip
    return {
        "version": 1,
        "study": "made-up",
        "rules_changed": False,
        "strength": 1.0,
        "flow": [],
        "criteria": [criterion],
    }
