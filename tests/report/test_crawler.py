"""Every control of every kind of page is used in a real browser: `pytest -m browser`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import chromium, claims_run, crawler, judged_run, report_run
from kit.judge_servers import Endpoint, fair, serving

from htbench import report
from htbench.report import merge, multi_run

pytestmark = pytest.mark.browser


def plain(folder: Path) -> Path:
    return report.write(report_run.build(folder / "run", concepts=4))


def as_folder(folder: Path) -> Path:
    return report.write_folder(report_run.build(folder / "run", concepts=4))


def of_half_a_run(folder: Path) -> Path:
    report_run.build(folder / "run", concepts=4, made=20, problem="no <memory> left")
    return report.write(folder / "run")


def with_a_study(folder: Path) -> Path:
    run = claims_run.build(folder / "run", strengths=claims_run.FIVE)
    claims_run.add_study(run, (0.6, 0.5, 0.7))
    rate = {"value": 0.7, "low": 0.6, "high": 0.9}
    agreement = {key: {**rate, "high": 0.8} for key in ("accuracy", "kappa", "ac1")}
    people = [
        {"name": name, "source": "person", "compared": k, **agreement}
        for k, name in enumerate(("another person", "some judge"))
    ]
    path = next((run / "studies").glob("*.json"))
    text = path.read_text().replace('"agreement": []', f'"agreement": {people}'.replace("'", '"'))
    path.write_text(text)
    return report.write(run)


def with_judges(folder: Path) -> Path:
    judged_run.build(folder / "run", concepts=6)
    with serving(Endpoint(mind=fair)) as endpoint:
        judged_run.judged(folder / "run", judged_run.card(folder / "judge", endpoint.url))
    return report.write(folder / "run")


def of_two_models(folder: Path) -> Path:
    first = report_run.build(folder / "first", concepts=4)
    second = judged_run.build(folder / "second", concepts=4)
    with merge.model_reports([first, second or folder / "second"]) as reports:
        return multi_run.write(reports, folder / "both")


KINDS = (plain, as_folder, of_half_a_run, with_a_study, with_judges, of_two_models)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {build.__name__: build(tmp_path_factory.mktemp(build.__name__)) for build in KINDS}


@pytest.fixture(scope="module")
def browser(pages: dict[str, Path]) -> Iterator[Any]:
    """A Chromium, begun after the judges have asked, since both take asyncio's one loop."""
    with chromium.opened() as opened:
        yield opened


@pytest.mark.parametrize("kind", [build.__name__ for build in KINDS])
def test_no_control_of_the_page_ends_in_an_error(
    browser: Any, pages: dict[str, Path], kind: str
) -> None:
    crawler.use_every_control(browser, pages[kind])
