"""The tapes, played to live.js: the state that a screen shows is the one the server's own tests trust."""

import pytest

from tests.browser.stack import Json, NewPage
from tests.reducer import FIELDS
from tests.tapes import TAPES, beginning, expected

# What a calendar's state is after each step of each tape; where it asks for something else than it is answered, what that was.
PLAY = """async ([tapes, FIELDS]) => {
    const { CalendarState } = await import("/static/live.js");
    const played = [];
    for (const { calendar, steps } of tapes) {
        let answers = [], astray = [];
        const ask = async (what) => {
            const answer = answers.shift();
            if (answer?.to !== what) return astray.push(what), new Promise(() => {});
            for (const frame of answer.meanwhile ?? []) state.receive(frame);
            await new Promise((resolve) => setTimeout(resolve));
            if (answer.answer.code) throw answer.answer;
            return structuredClone(answer.answer);
        };
        const read = { snapshot: () => ask("snapshot"), changes: (since) => ask(`changes ${since}`) };
        const state = new CalendarState(calendar, read, () => {});
        const known = [];
        for (const step of steps) {
            answers.push(...(step.answers ?? []));
            const done = step.frame.type === "lost" ? state.lost() : state.receive(step.frame);
            await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 1_000))]);
            if (astray.length || answers.length) { known.push({ astray, unasked: answers }); break; }
            const field = (visit, name) => (name === "calendars" ? visit[name].toSorted() : visit[name]);
            const seen = (visit) => FIELDS.filter((name) => name in visit).map((name) => [name, field(visit, name)]);
            const visits = [...state.visits.values()].map((visit) => Object.fromEntries(seen(visit)));
            visits.sort((a, b) => (a.id < b.id ? -1 : 1));
            const { version, epoch, current, open } = state;
            known.push({ version, epoch, current, visits, open });
        }
        played.push(known.slice(1));
    }
    return played;
}"""


@pytest.mark.parametrize("name", TAPES)
def test_a_screen_knows_what_the_tape_says_after_each_frame(new_page: NewPage, name: str) -> None:
    tapes = [{"calendar": tape["calendar"], "steps": [beginning(tape), *tape["steps"]]} for tape in TAPES[name]]
    played: list[list[Json]] = new_page("/").evaluate(PLAY, [tapes, FIELDS])
    for tape, known in zip(TAPES[name], played, strict=True):
        assert known == expected(tape), tape["about"]
