"""The renderings of a weekly summary: golden files, and nothing from outside that does more than be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from block_kit import refused
from weeks import UP, Small, whole

from slo_engine.weekly import FORMATS, Audience, WeeklySummary, rendered
from slo_engine.weekly.html import HEAD, INK, PAPER, WARM, mail
from slo_engine.weekly.page import spark_of
from slo_engine.weekly.slack import LONGEST_SECTION, MOST_BLOCKS

DOCS = Path(__file__).parents[3] / "docs" / "weekly.md"
GOLDEN = Path(__file__).parent / "golden"
ENDINGS = {"markdown": "md", "html": "html", "text": "txt", "slack": "slack.json", "json": "json"}
TEAMS = {"leader": "", "sre": "", "team": "/shop"}
_VOID = {"meta", "br"}


@pytest.fixture(scope="module")
def summaries(settled: Small) -> dict[str, WeeklySummary]:
    """The summary for each audience."""
    return {audience: whole(settled, audience, team=team) for audience, team in TEAMS.items()}


@pytest.mark.parametrize("audience", [a.value for a in Audience])
@pytest.mark.parametrize("form", FORMATS)
def test_a_week_reads_exactly_like_this(
    summaries: dict[str, WeeklySummary], golden: Callable[[Path, str], None], form: str, audience: str
) -> None:
    """Each format for each audience is the golden file."""
    golden(GOLDEN / f"{audience}.{ENDINGS[form]}", rendered(summaries[audience], form))  # type: ignore[arg-type]


# --- hostile text ----------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Follows tags, and keeps what a mail must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag ends where it was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text.append(data)


def parsed(summary: WeeklySummary) -> _Page:
    """The HTML, read by a parser."""
    page = _Page()
    page.feed(rendered(summary, "html"))
    page.close()
    return page


@pytest.mark.parametrize("audience", TEAMS)
def test_html_is_whole_and_loads_nothing(summaries: dict[str, WeeklySummary], audience: str) -> None:
    """Every tag is closed; there is no script, style sheet, link, image, form or address."""
    page = parsed(summaries[audience])

    assert page.open == []
    assert page.tags & {"script", "link", "img", "style", "a", "iframe", "form", "object", "svg", "base"} == set()
    assert [
        a for _, a, v in page.attributes if a in {"href", "src", "background"} or a.startswith("on") or "url(" in v
    ] == []
    assert ("html", "lang", "en") in page.attributes


def test_a_hostile_title_is_text_in_html(summaries: dict[str, WeeklySummary]) -> None:
    """It can be read as it was written, cut, in its own direction."""
    text = "".join(parsed(summaries["sre"]).text)

    assert "<script>alert(1)</script> *b* _i_ ~s~ `c` | @channel <!here> neve # xxx" in text
    assert "x" * 120 not in text


def test_a_hostile_title_is_text_in_markdown(summaries: dict[str, WeeklySummary]) -> None:
    """No sign of it is markup, and its row has as many cells as the others."""
    text = rendered(summaries["sre"], "markdown")
    rows = [line for line in text.splitlines() if line.startswith("| Up ")]

    assert re.findall(r"(?<!\\)[<>`@~]", text) == []
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:1]} == {9}
    assert r"\<script\>alert(1)\</script\> \*b\* \_i\_ \~s\~ \`c\` \| \@channel" in rows[0]


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_turns_the_direction_of_a_page(summaries: dict[str, WeeklySummary], form: str) -> None:
    """Marks of direction and control signs of a title are gone in every format."""
    text = rendered(summaries["sre"], form)  # type: ignore[arg-type]

    assert re.findall("[\x00-\x09\x0b-\x1f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", text) == []


def test_the_title_of_an_incident_is_not_told(summaries: dict[str, WeeklySummary]) -> None:
    """It may name somebody: an incident is told by its service and when it was."""
    (loss,) = [one for one in summaries["sre"].losses if one.slo == UP.name]

    assert loss.contributors[0].name == "of api on 04 Mar 10:00, 90 min"


# --- Slack -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", TEAMS)
def test_slack_takes_the_message(summaries: dict[str, WeeklySummary], audience: str) -> None:
    """Blocks, characters and escapes are as Slack wants them."""
    assert refused(json.loads(rendered(summaries[audience], "slack"))) == []


def test_a_message_that_is_too_long_says_what_it_left_out(summaries: dict[str, WeeklySummary]) -> None:
    """Fifty blocks hold, whatever there is to say, and the last one says how much is missing."""
    (loss, *_) = summaries["sre"].losses
    long = replace(summaries["sre"], losses=(replace(loss, title="<&>" * 40),) * 400)

    message = json.loads(rendered(long, "slack"))

    assert refused(message) == []
    assert len(message["blocks"]) == MOST_BLOCKS
    assert "parts of the summary were left out here" in message["blocks"][-1]["text"]["text"]


def test_a_line_that_is_too_long_is_cut(summaries: dict[str, WeeklySummary]) -> None:
    """No section is longer than may be, and no sign is cut in the middle of its escape."""
    (loss, *_) = summaries["sre"].losses
    long = replace(summaries["sre"], losses=(replace(loss, title="a &" * LONGEST_SECTION),))

    assert refused(json.loads(rendered(long, "slack"))) == []


def test_the_validator_refuses() -> None:
    """A message that Slack would not take is not taken here."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "<!here> & @all" + "x" * 3_000}}
    said = refused({"text": "", "blocks": [section] * 51})

    assert said[:2] == ["51 blocks; at most 50", "no text for notifications"]
    assert {line.partition(": ")[2].split(":")[0] for line in said[2:]} == {
        "3014 characters in a section; 1 to 3000",
        "names and addresses become links by themselves",
        "something is not escaped",
    }


# --- small charts and colours ----------------------------------------------------------------------------


def test_a_small_chart_has_a_block_for_each_week() -> None:
    """From nothing to all; what is overspent is nothing, and a dot stands where nothing is known."""
    assert spark_of([None, -3.0, 0.0, 0.5, 0.99, 1.0]) == "·▁▁▅██"


def test_a_chart_stands_beside_its_words(summaries: dict[str, WeeklySummary]) -> None:
    """A reader who does not see it is told from where to where, and the least."""
    text = rendered(summaries["sre"], "text")

    assert re.search(r"Last 12 weeks: [·▁-█]{12} 100% to [-\d.]+%, least [-\d.]+%", text)


def test_a_bar_is_as_wide_as_what_is_left(summaries: dict[str, WeeklySummary]) -> None:
    """Two cells whose widths are a hundred percent together; none where nothing is left."""
    widths = re.findall(r'<td width="(\d+)%"', rendered(summaries["sre"], "html"))

    assert widths
    assert {int(w) for w in widths} <= set(range(1, 101))


def _luminance(colour: str) -> float:
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _inverted(colour: str) -> str:
    return f"#{0xFFFFFF - int(colour[1:], 16):06x}"


@pytest.mark.parametrize("ground", [PAPER, HEAD, WARM])
def test_text_can_be_read_in_light_and_in_dark(ground: str) -> None:
    """WCAG 2.2 AA asks for 4.5 to 1: as it is sent, and where a client inverts all colours."""
    assert _contrast(INK, ground) >= 4.5
    assert _contrast(_inverted(INK), _inverted(ground)) >= 4.5


@pytest.mark.parametrize("audience", TEAMS)
def test_no_text_has_a_colour_without_its_background(summaries: dict[str, WeeklySummary], audience: str) -> None:
    """A client that sets one of them by itself leaves nothing that cannot be read."""
    styles = [v for _, name, v in parsed(summaries[audience]).attributes if name == "style" and "color:" in v]

    assert styles
    assert [s for s in styles if not re.search(r"(^|;)color:#\w{6};background-color:#\w{6};", s)] == []


def test_a_mail_has_a_part_for_those_who_read_text(summaries: dict[str, WeeklySummary]) -> None:
    """Both parts say the same: each cell of the page stands in the text."""
    text, page = mail(summaries["sre"])
    cells = re.findall(r"<td style=[^>]*text-align:(?:left|right);\">(?:<span.*?</span> )?([^<]+)", page)

    assert len(cells) > 100
    assert [cell for cell in cells if unescape(cell) not in text] == []


# --- JSON ------------------------------------------------------------------------------------------------


def test_json_has_its_documented_keys(summaries: dict[str, WeeklySummary]) -> None:
    """Each key of the summary and of its parts is in docs/weekly.md."""
    documented = set(re.findall(r"`(\w+)`", DOCS.read_text(encoding="utf-8")))

    assert json.loads(rendered(summaries["sre"], "json"))["schema_version"] == 1
    assert _keys(WeeklySummary) - documented == set()


def _keys(model: type) -> set[str]:
    """The names of the fields of a model and of those in it."""
    found: set[str] = set()
    for field, hint in get_type_hints(model).items():
        found.add(field)
        for part in (hint, *get_args(hint)):
            found |= _keys(part) if is_dataclass(part) and isinstance(part, type) else set()
    return found
