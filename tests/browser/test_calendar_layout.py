"""The sheet's geometry, without a page: rows are instants, and what is at the same time stands side by side."""

import pytest

from tests.browser.stack import Json, NewPage


def ask(new_page: NewPage, script: str, given: object = None) -> Json:
    """What a function of the geometry's module answers."""
    source = f"""async (given) => {{
        const L = await import("/static/calendar/layout.js");
        const {{ Moving, steer }} = await import("/static/calendar/moving.js");
        const {{ walk }} = await import("/static/calendar/walking.js");
        return ({script})(given);
    }}"""
    return dict(new_page("/").evaluate(source, given))


@pytest.mark.parametrize(
    ("day", "zone", "rows"),
    [
        ("2026-03-08", "America/New_York", 46),
        ("2026-11-24", "America/New_York", 48),
        ("2026-11-01", "America/New_York", 50),
        ("2026-04-05", "Australia/Lord_Howe", 49),
    ],
)
def test_a_day_has_as_many_half_hours_as_there_are(new_page: NewPage, day: str, zone: str, rows: int) -> None:
    script = "([day, zone]) => { const [column] = L.columnsOf([day], [{ id: 'a' }], zone); return { rows: L.rowsOf(column) }; }"
    assert ask(new_page, script, [day, zone]) == {"rows": rows}


def test_a_view_shows_the_days_that_it_says(new_page: NewPage) -> None:
    shown = ask(
        new_page,
        """() => ({
            week: L.daysOf("week", "2026-11-26"), weekend: L.daysOf("week", "2026-11-29"), agenda: L.daysOf("agenda", "2026-11-29"),
            later: ["day", "week"].map((view) => L.stepFrom(view, "2026-12-31", 1)),
        })""",
    )
    assert shown["week"] == ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
    assert (shown["weekend"][0], shown["weekend"][-1]) == ("2026-11-23", "2026-11-29")
    assert (shown["agenda"][0], shown["agenda"][-1]) == ("2026-11-29", "2026-12-05")
    assert shown["later"] == ["2027-01-01", "2027-01-07"]


def test_what_is_at_the_same_time_stands_side_by_side_and_what_is_short_takes_a_step(new_page: NewPage) -> None:
    items = [("a", 0, 60), ("b", 0, 30), ("c", 30, 45), ("d", 60, 65), ("e", 70, 90)]
    lanes = ask(
        new_page,
        """(items) => Object.fromEntries(
            L.lanesOf(items.map(([id, start, end]) => ({ id, start: start * 60_000, end: end * 60_000 })))
        )""",
        items,
    )
    assert lanes == {
        "a": {"lane": 0, "of": 2},
        "b": {"lane": 1, "of": 2},
        "c": {"lane": 1, "of": 2},
        "d": {"lane": 0, "of": 2},
        "e": {"lane": 1, "of": 2},
    }


def test_the_focus_rests_on_every_visit_and_on_what_is_free_of_a_row(new_page: NewPage) -> None:
    found = ask(
        new_page,
        """() => {
            const [column] = L.columnsOf(["2026-11-24"], [{ id: "a" }], "UTC");
            const minute = (count) => column.start + count * 60_000;
            const items = [{ id: "whole", start: minute(0), end: minute(60) }, { id: "half", start: minute(60), end: minute(75) }];
            const stops = L.stopsOf(column, items).slice(0, 4);
            const sheet = { columns: [column, column], stops: () => L.stopsOf(column, items), rtl: false };
            const press = (key, from, ctrlKey = false) => {
                const to = walk({ key, ctrlKey }, from, sheet);
                return to && [to.column, (to.stop.at - column.start) / 60_000, to.stop.id ?? ""];
            };
            const first = { column: 0, at: minute(0), id: "whole" };
            return {
                stops: stops.map(({ at, id }) => [(at - column.start) / 60_000, id ?? ""]),
                down: press("ArrowDown", first), up: press("ArrowUp", first), right: press("ArrowRight", first),
                page: press("PageDown", first), last: press("End", first, true), other: press("x", first) ?? null,
            };
        }""",
    )
    assert found["stops"] == [[0, "whole"], [60, "half"], [75, ""], [90, ""]]
    assert (found["down"], found["up"], found["right"]) == ([0, 60, "half"], [0, 0, "whole"], [1, 0, "whole"])
    assert (found["page"], found["last"], found["other"]) == ([0, 240, ""], [0, 1410, ""], None)


def test_a_visit_on_its_way_stays_within_the_days_and_goes_only_where_it_may(new_page: NewPage) -> None:
    moved = ask(
        new_page,
        """() => {
            const columns = L.columnsOf(["2026-11-24"], [{ id: "a" }, { id: "room" }, { id: "b" }], "UTC");
            const item = { id: "v", start: columns[0].start, end: columns[0].start + 30 * 60_000 };
            const moving = new Moving(item, 0, columns, ({ calendar }) => calendar !== "room");
            const press = (key, shiftKey = false) => {
                steer(moving, { key, shiftKey }, false);
                const { column, start, end } = moving.target;
                return [column, (start - columns[0].start) / 60_000, (end - columns[0].start) / 60_000];
            };
            return {
                before: press("ArrowUp"), unchanged: moving.changed, across: press("ArrowRight"), edge: press("ArrowRight"),
                down: press("ArrowDown"), longer: press("ArrowDown", true), shorter: press("ArrowUp", true),
                least: [press("ArrowUp", true), press("ArrowUp", true)][1],
            };
        }""",
    )
    assert (moved["before"], moved["unchanged"]) == ([0, 0, 30], False)
    assert (moved["across"], moved["edge"]) == ([2, 0, 30], [2, 0, 30])
    assert (moved["down"], moved["longer"], moved["shorter"]) == ([2, 15, 45], [2, 15, 60], [2, 15, 45])
    assert moved["least"] == [2, 15, 30]
