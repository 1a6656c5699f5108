"""The timetable and the syllabi: complete, in order, and loud about what is wrong."""

import copy
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("jupyter_book")

import syllabi  # noqa: E402
import timetable  # noqa: E402
from docutils import nodes  # noqa: E402

PAGE = (ROOT / "chapters" / "teaching" / "timetable.md").read_text("utf-8")
FIRST = re.findall(r'^:first: "(.+)"$', PAGE, re.MULTILINE)
COURSE = timetable.read_course(ROOT, FIRST)
PLAN = syllabi.read_plan(ROOT)

# --- the course -------------------------------------------------------------------


def test_every_notebook_of_the_table_of_contents_is_in_the_timetable_once():
    text = (ROOT / "_toc.yml").read_text("utf-8")
    files = re.findall(r"^ +- file: chapters/(\S+)$", text, re.MULTILINE)
    notebooks = [file for file in files if (ROOT / f"chapters/{file}.ipynb").exists()]
    assert sorted(lesson.name for lesson in COURSE) == sorted(notebooks)
    rows = re.findall(
        r"^\| \[.+?\]\(/chapters/(\S+)\.ipynb\) \| \d+ \|",
        timetable.page(COURSE),
        re.MULTILINE,
    )
    assert sorted(rows) == sorted(notebooks)


def test_what_comes_before_was_taught_before():
    assert timetable.problems(COURSE) == []
    taught = set()
    for lesson in COURSE:
        assert set(lesson.after) <= taught, lesson.name
        taught.add(lesson.name)


@pytest.mark.parametrize("lesson", COURSE, ids=lambda lesson: lesson.name)
def test_what_a_notebook_names_as_needed_is_what_it_comes_after(lesson):
    """Links of the prerequisites' first sentences; others may be outlooks."""
    titles = {one.title: one.name for one in COURSE}
    titles["Deep learning"] = "concepts/deep_learning"
    first = re.split(r"(?<=\.)\s", lesson.needs)[0].partition(";")[0]
    named = set(re.findall(r"\(/chapters/(\S+?)\.ipynb", first))
    named |= {
        titles[name] for name in re.findall(r"\*([^*]+)\*", first) if name in titles
    }
    earlier = set(lesson.after)
    todo = list(earlier)
    while todo:
        after = {one.name: one.after for one in COURSE}[todo.pop()]
        todo += set(after) - earlier
        earlier |= set(after)
    assert named <= earlier


def test_totals_are_sums_and_stand_in_the_last_row_of_each_table():
    page = timetable.page(COURSE)
    tables = re.findall(r"^## (.+)\n\n\| note.*\n.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert len(tables) == 7
    whole = sum(timetable.minutes_by_part(COURSE).values())
    assert f"All {len(COURSE)} notebooks take {timetable.hours(whole)}" in page
    for part, rows in tables:
        *lessons, last = rows.splitlines()
        minutes = sum(int(row.split("|")[2]) for row in lessons)
        assert timetable.minutes_by_part(COURSE)[part] == minutes
        assert f"*all {len(lessons)}* | *{timetable.hours(minutes)}*" in last


def test_objectives_and_prerequisites_are_those_of_the_notebook():
    page = timetable.page(COURSE)
    for lesson in COURSE:
        assert lesson.objectives.startswith("- ") and lesson.objectives in page
        assert lesson.needs in page
        assert "](../" not in lesson.needs + lesson.objectives
        assert lesson.exercises and lesson.wall_s


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(45, "45 min"), (60, "1 h"), (225, "3 h 45 min"), (0, "0 min")],
)
def test_hours(minutes, text):
    assert timetable.hours(minutes) == text


def test_links_lead_from_any_page():
    text = "[a](b.ipynb), [c](../d/e.md#f), [g](https://h.org/i.md), [j](#k)"
    assert timetable.rooted(text, "chapters/x") == (
        "[a](/chapters/x/b.ipynb), [c](/chapters/d/e.md#f), [g](https://h.org/i.md), "
        "[j](#k)"
    )


# --- what breaks the build --------------------------------------------------------

SOUND = {"after": [], "minutes": 30}


@pytest.fixture
def course(tmp_path):
    """Return a function that writes a course of two notebooks and lists its faults."""

    def write(one=SOUND, two=SOUND, cells=None, first=()):
        toc = {
            "root": "index",
            "parts": [
                {"caption": "A", "chapters": [{"file": "chapters/a/one"}]},
                {"caption": "B", "chapters": [{"file": "chapters/b/two"}]},
                {"caption": "C", "chapters": [{"file": "chapters/c/page"}]},
            ],
        }
        (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
        for name, teaching in (("a/one", one), ("b/two", two)):
            texts = cells or [
                f"# {name}",
                f"{timetable.OBJECTIVES}\n\n- Count.",
                f"{timetable.NEEDS}\n\nNothing.",
                "## Exercises\n\n**1. Two.** What is two?",
            ]
            metadata = {"sslkit": {"wall_s": 3.0}}
            if teaching is not None:
                metadata["teaching"] = teaching
            path = tmp_path / "chapters" / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            sources = [{"cell_type": "markdown", "source": text} for text in texts]
            path.write_text(json.dumps({"cells": sources, "metadata": metadata}))
        return timetable.problems(timetable.read_course(tmp_path, first))

    return write


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"one": None}, 'a/one.ipynb has no metadata "teaching": add {'[:-2]),
        ({"one": {"after": []}}, 'a/one.ipynb says "minutes": None'),
        ({"one": {"after": [], "minutes": 50}}, "a multiple of 15"),
        ({"one": {"after": [], "minutes": -15}}, 'says "minutes": -15'),
        ({"one": {"minutes": 15}}, 'a/one.ipynb says "after": None'),
        ({"one": {"after": "b/two", "minutes": 15}}, "give a list of notebooks"),
        (
            {"two": {"after": ["a/once"], "minutes": 15}},
            "b/two.ipynb comes \"after\" 'a/once', which is no notebook",
        ),
        (
            {"one": {"after": ["b/two"], "minutes": 15}},
            "a/one.ipynb comes \"after\" 'b/two', which is taught later",
        ),
        (
            {
                "one": {"after": ["b/two"], "minutes": 15},
                "two": {"after": ["a/one"], "minutes": 15},
            },
            "a/one.ipynb needs itself (a/one after b/two after a/one)",
        ),
        ({"two": {"after": ["b/two"], "minutes": 15}}, "b/two.ipynb needs itself"),
        ({"cells": ["# T"]}, "has no cell that begins with"),
    ],
)
def test_each_fault_of_the_metadata_is_named(course, changes, complaint):
    assert course() == []
    found = course(**changes)
    assert complaint in " ".join(found)
    assert all(text.startswith("chapters/") for text in found)


def test_a_circle_is_named_once(course):
    both = {"one": {"after": ["b/two"], "minutes": 15}}
    both["two"] = {"after": ["a/one"], "minutes": 15}
    assert len([text for text in course(**both) if "needs itself" in text]) == 1


def test_a_part_can_be_taught_first(course, tmp_path):
    assert course(one={"after": ["b/two"], "minutes": 15}, first=["B"]) == []
    order = [lesson.name for lesson in timetable.read_course(tmp_path, ["B"])]
    assert order == ["b/two", "a/one"]
    with pytest.raises(ValueError, match=r"no part 'D' in _toc.yml: name one of A, B"):
        timetable.read_course(tmp_path, ["D"])


def run(kind, root, **fields):
    """Run a directive as Sphinx does, and return the text that it makes."""
    watched = []
    self = SimpleNamespace(
        env=SimpleNamespace(
            srcdir=str(root), note_dependency=watched.append, found_docs=set()
        ),
        options={},
        get_location=lambda: "page.md:7",
        parse_text_to_nodes=lambda text, **_: [nodes.Text(text)],
        error=lambda text: RuntimeError(text),
        **fields,
    )
    made = kind.run(self)
    return "".join(node.astext() for node in made), watched


def test_the_directive_warns_and_watches(course, tmp_path, caplog):
    course()
    text, watched = run(timetable.Timetable, tmp_path)
    assert "| [a/one](/chapters/a/one.ipynb) | 30 | 3.0 s |  |" in text
    assert any(path.endswith("two.ipynb") for path in watched)
    assert caplog.records == []
    course(one=None)
    run(timetable.Timetable, tmp_path)
    assert 'chapters/a/one.ipynb has no metadata "teaching"' in caplog.text


# --- syllabi ----------------------------------------------------------------------


def test_syllabi_of_the_course_can_be_held():
    assert syllabi.problems(PLAN, COURSE) == []


@pytest.mark.parametrize("plan", PLAN["syllabi"], ids=lambda plan: plan["name"])
def test_no_session_exceeds_its_minutes_and_nothing_comes_too_early(plan):
    """The same rules once more, from the notebooks themselves."""
    minutes, after = {}, {}
    for path in (ROOT / "chapters").rglob("*.ipynb"):
        teaching = json.loads(path.read_text("utf-8"))["metadata"].get("teaching")
        name = path.relative_to(ROOT / "chapters").with_suffix("").as_posix()
        if teaching:
            minutes[name], after[name] = teaching["minutes"], teaching["after"]
    everything = [n for s in plan["sessions"] for n in s.get("notebooks", [])]
    known = list(plan.get("before", []))
    for session in plan["sessions"]:
        names = session.get("notebooks", [])
        spent = sum(minutes[name] / everything.count(name) for name in names)
        assert spent <= session["minutes"]
        assert ("pause" in session) != ("question" in session)
        for name in names:
            assert set(after[name]) <= set(known)
            known.append(name)


def test_a_course_is_as_long_as_its_name_says():
    day, module, course = PLAN["syllabi"]
    assert sum(session["minutes"] for session in day["sessions"]) == 8 * 60
    for syllabus, weeks in ((module, 4), (course, 12)):
        whens = [session["when"] for session in syllabus["sessions"]]
        assert len(whens) == len(set(whens)) == 2 * weeks
        assert [int(when.split()[1].rstrip(",")) for when in whens] == [
            week for week in range(1, weeks + 1) for _ in (0, 1)
        ]
    given = [n for session in course["sessions"] for n in session.get("out", [])]
    assert sorted(given) == [1, 2, 3, 4, 5, 6]


def change(edit):
    plan = copy.deepcopy(PLAN)
    edit(plan["syllabi"][1]["sessions"], plan)
    return syllabi.problems(plan, COURSE)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda s, p: s[0].update(minutes=45), "take 60 minutes and it has 45"),
        (lambda s, p: s[0].update(notebooks=["mnist/typo"]), "'mnist/typo' is no note"),
        (
            lambda s, p: s.insert(0, s.pop(2)),
            "'mnist/evaluation' needs 'mnist/training'",
        ),
        (lambda s, p: p["syllabi"][1].pop("before"), "needs 'concepts/deep_learning'"),
        (lambda s, p: s[0].update(exercise=["mnist/training", 1]), "not yet taught"),
        (lambda s, p: s[0]["exercise"].__setitem__(1, 9), "has no exercise 9"),
        (
            lambda s, p: s[0].update(out=[1], due=[]),
            "assignment 1 is out before 'mnist",
        ),
        (lambda s, p: s[0].update(due=[1]), "assignment 1 is due but never out"),
        (
            lambda s, p: s[4].pop("due"),
            "A module of four weeks: assignment 1 is never du",
        ),
        (
            lambda s, p: s[0].update(quiz="mnist"),
            "whose quiz is in Week 1, first already",
        ),
        (lambda s, p: s[0].update(quiz="mnits"), "no part 'mnits' with a quiz"),
    ],
)
def test_each_fault_of_a_syllabus_is_named(edit, complaint):
    found = change(edit)
    assert complaint in " ".join(found)
    assert all(text.startswith(syllabi.FILE) for text in found)


def test_a_notebook_in_two_sessions_shares_its_minutes():
    sessions = [{"when": w, "minutes": 60, "notebooks": ["a"]} for w in "12"]
    assert syllabi.shared_minutes({"sessions": sessions}, {"a": 105}) == {"a": 52.5}


def test_times_of_a_day_are_counted():
    plan = {"start": "9:50", "sessions": [{"minutes": 15}, {"minutes": 60}]}
    assert [when for when, _ in syllabi.sessions(plan)] == [
        "9:50 to 10:05",
        "10:05 to 11:05",
    ]


def test_the_page_of_syllabi_has_every_session_and_links_quizzes_that_exist(caplog):
    text, watched = run(syllabi.Syllabi, ROOT)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    held = sum(len(plan["sessions"]) for plan in PLAN["syllabi"])
    assert len(rows) == held + len(PLAN["syllabi"])
    assert all(line.count("|") == 4 for line in rows)
    assert "Exercise 2: A scaler that does not leak." in text
    assert "Quiz MNIST." in text
    page = syllabi.page(PLAN, COURSE, lambda name: name == "chapters/mnist/quiz")
    assert "Quiz [MNIST](/chapters/mnist/quiz.md)." in page and "Quiz Concepts." in page
    for plan in PLAN["syllabi"]:
        assert f"**Left out.** {plan['left_out']}" in text
    assert any(path.endswith("syllabi.yaml") for path in watched)
    assert caplog.records == []


def test_the_directive_warns_of_a_syllabus_that_cannot_be_held(monkeypatch, caplog):
    plan = copy.deepcopy(PLAN)
    plan["syllabi"][0]["sessions"][0]["minutes"] = 10
    monkeypatch.setattr(syllabi, "read_plan", lambda _: plan)
    text, _ = run(syllabi.Syllabi, ROOT)
    assert text == ""
    assert "its notebooks take 60 minutes and it has 10" in caplog.text
