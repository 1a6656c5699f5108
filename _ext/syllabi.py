"""Syllabi, from `chapters/teaching/syllabi.yaml` and the timetable.

The directive `syllabi` makes a table of each of them. Minutes, titles and exercises
come from the notebooks (`timetable.py`), so that a syllabus cannot promise what a
notebook does not have. A session that is too short, a notebook before what it needs,
and whatever else a class would stumble over break the strict build, with a sentence
that names the session.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from timetable import Lesson, hours, read_course, shorten

logger = logging.getLogger(__name__)

FILE = "chapters/teaching/syllabi.yaml"

Plan = Mapping[str, Any]
Sessions = Iterator[tuple[str, Mapping[str, Any]]]


def read_plan(root: Path) -> Plan:
    """Read the file of syllabi."""
    plan: Plan = yaml.safe_load((root / FILE).read_text("utf-8"))
    return plan


def clock(minutes: int) -> str:
    """Write a time of day: `545` is `9:05`."""
    return f"{minutes // 60}:{minutes % 60:02}"


def sessions(syllabus: Mapping[str, Any]) -> Sessions:
    """Go through the sessions, each with the words that say when it is.

    With a `start`, sessions follow one another on one day, and their times are counted.
    """
    now = None
    if "start" in syllabus:
        hour, _, minute = str(syllabus["start"]).partition(":")
        now = 60 * int(hour) + int(minute)
    for session in syllabus["sessions"]:
        when = session.get("when", "")
        if now is not None:
            when = f"{clock(now)} to {clock(now + session['minutes'])}"
            now += session["minutes"]
        yield when, session


def shared_minutes(
    syllabus: Mapping[str, Any], minutes: Mapping[str, int]
) -> dict[str, float]:
    """Minutes of each notebook in one session, over how many it is spread."""
    times = Counter(
        name
        for _, session in sessions(syllabus)
        for name in session.get("notebooks", [])
    )
    return {name: minutes.get(name, 0) / count for name, count in times.items()}


def problems(plan: Plan, course: Sequence[Lesson]) -> list[str]:
    """List what a class would stumble over.

    Args:
        plan: The syllabi, as read from the file.
        course: All lessons of the course.

    Returns:
        Sentences, each of which names syllabus, session and fault.
    """
    lessons = {lesson.name: lesson for lesson in course}
    minutes = {lesson.name: lesson.minutes for lesson in course}
    assignments = plan["assignments"]
    found = []
    for syllabus in plan["syllabi"]:
        share = shared_minutes(syllabus, minutes)
        known = set(syllabus.get("before", []))
        out: set[int] = set()
        due: set[int] = set()
        quizzes: dict[str, str] = {}
        for when, session in sessions(syllabus):
            place = f"{FILE}: {syllabus['name']}, {when}"
            names = session.get("notebooks", [])
            exercise = session.get("exercise")
            for name in [*names, *([exercise[0]] if exercise else [])]:
                if name not in lessons:
                    found.append(f"{place}: {name!r} is no notebook of the course.")
            needed = sum(share[name] for name in names)
            if needed > session["minutes"]:
                found.append(
                    f"{place}: its notebooks take {needed:.0f} minutes and it has "
                    f"{session['minutes']}. Move one to another session."
                )
            for name in names:
                known.add(name)
                for other in lessons[name].after if name in lessons else ():
                    if other not in known:
                        found.append(
                            f"{place}: {name!r} needs {other!r}. Put it into a session "
                            'before, or into "before" of the syllabus.'
                        )
                for part, asked in quizzes.items():
                    if name.startswith(f"{part}/"):
                        found.append(
                            f"{place}: {name!r} is of the part {part!r}, whose quiz is "
                            f"in {asked} already. Move the quiz."
                        )
            if exercise and exercise[0] not in known:
                found.append(f"{place}: exercise of {exercise[0]!r}, not yet taught.")
            if (
                exercise
                and exercise[0] in lessons
                and exercise[1] not in lessons[exercise[0]].exercises
            ):
                found.append(f"{place}: {exercise[0]!r} has no exercise {exercise[1]}.")
            for number in session.get("out", []):
                for other in assignments[number]["after"]:
                    if other not in known:
                        found.append(
                            f"{place}: assignment {number} is out before {other!r}."
                        )
                out.add(number)
            for number in session.get("due", []):
                if number not in out or number in session.get("out", []):
                    found.append(f"{place}: assignment {number} is due but never out.")
                due.add(number)
            if quiz := session.get("quiz"):
                if quiz not in plan["parts"]:
                    found.append(f"{place}: there is no part {quiz!r} with a quiz.")
                quizzes[quiz] = when
        found += [
            f"{FILE}: {syllabus['name']}: assignment {number} is never due."
            for number in sorted(out - due)
        ]
    return found


def row(
    when: str,
    session: Mapping[str, Any],
    plan: Plan,
    lessons: Mapping[str, Lesson],
    share: Mapping[str, float],
    exists: Callable[[str], bool],
) -> str:
    """Write a session as a row of a Markdown table."""
    if "pause" in session:
        return f"| {when} | *{session['pause']}* | |"
    titles = {name: lesson.title for name, lesson in lessons.items()}
    works = [
        f"{shorten(name, titles)} ({share[name]:.0f} min)"
        for name in session.get("notebooks", [])
    ]
    works += [f"[](/chapters/{name}.md)" for name in session.get("pages", [])]
    plans = [f"*{session['question']}*"]
    if "exercise" in session:
        name, number = session["exercise"]
        title = lessons[name].exercises[number]
        plans.append(f"Exercise {number}: {title}{'' if title[-1] in '?!' else '.'}")
    if quiz := session.get("quiz"):
        page = f"chapters/{quiz}/quiz"
        title = plan["parts"][quiz]
        plans.append(
            f"Quiz [{title}](/{page}.md)." if exists(page) else f"Quiz {title}."
        )
    for word in ("due", "out"):
        for number in session.get(word, []):
            title = plan["assignments"][number]["title"]
            plans.append(f"**Assignment {number} {word}**: {title}.")
    return f"| {when} | {'<br>'.join(works)} | {'<br>'.join(plans)} |"


def page(plan: Plan, course: Sequence[Lesson], exists: Callable[[str], bool]) -> str:
    """Write all syllabi as Markdown; `exists` says whether the book has a page."""
    lessons = {lesson.name: lesson for lesson in course}
    minutes = {lesson.name: lesson.minutes for lesson in course}
    lines: list[str] = []
    for syllabus in plan["syllabi"]:
        share = shared_minutes(syllabus, minutes)
        taught = sum(minutes.get(name, 0) for name in share)
        held = sum(s["minutes"] for s in syllabus["sessions"] if "pause" not in s)
        lines += [f"## {syllabus['name']}", "", syllabus["about"]]
        lines.append(
            f"The notebooks take {hours(taught)} of the {hours(held)}; the rest is for "
            "questions and for what takes longer than one thinks."
        )
        if "before" in syllabus:
            links = ", ".join(
                f"[](/chapters/{name}.ipynb)" for name in syllabus["before"]
            )
            lines.append(f"To be read before the first session: {links}.")
        lines += ["", "| when | what | how |", "|:---|:---|:---|"]
        lines += [
            row(when, session, plan, lessons, share, exists)
            for when, session in sessions(syllabus)
        ]
        lines += ["", f"**Left out.** {syllabus['left_out']}", ""]
    return "\n".join(lines)


class Syllabi(SphinxDirective):
    """All syllabi of the file, a section each."""

    def run(self) -> list[nodes.Node]:
        """Read file and notebooks, complain, and return the sections."""
        root = Path(self.env.srcdir)
        course = read_course(root)
        for path in (FILE, *(lesson.path for lesson in course)):
            self.env.note_dependency(str(root / path))
        plan = read_plan(root)
        faults = problems(plan, course)
        for fault in faults:
            logger.warning(fault, location=self.get_location())
        if faults:  # A page could name exercises that do not exist.
            return []
        text = page(plan, course, lambda name: name in self.env.found_docs)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("syllabi", Syllabi)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
