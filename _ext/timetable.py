"""The timetable of the course, from the metadata of its notebooks.

Each notebook says in its metadata how many minutes it takes to teach and which other
notebooks it builds on, by their names below `chapters`:

    "teaching": {"after": ["mnist/model_building"], "minutes": 60}

Everything else is read where readers find it: what one will be able to do and what is
needed from the cells of these names, the time of a full run from `sslkit`. The
directive `timetable` makes a page of it, with a table for each part in the order in
which a class takes them. Parts that are taught before their place in the table of
contents are named in the option `first`, one a line:

    ```{timetable}
    :first: "MNIST: the first autoencoder"
    ```

What is missing or contradicts itself breaks the strict build with a sentence that names
the notebook and what to do.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from provenance import duration
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

OBJECTIVES = "## What you will be able to do"
NEEDS = "## Prerequisites and running time"
STEP = 15
"""Minutes to teach are an estimate; finer steps would pretend to more."""
EXAMPLE = '"teaching": {"after": ["mnist/evaluation"], "minutes": 60}'


@dataclass(frozen=True)
class Lesson:
    """What the timetable says of one notebook.

    Attributes:
        name: Path below `chapters` without its ending, such as `mnist/training`.
        part: Caption of the part in the table of contents.
        title: Heading of the notebook.
        objectives: The list of what one will be able to do, Markdown.
        needs: Prerequisites and running time, Markdown.
        wall_s: Seconds of the full run that was stored, or None.
        minutes: Minutes to teach; 0 where the notebook does not say.
        after: Names of the notebooks that it builds on.
        exercises: Headings of its exercises, by number.
        faults: What is wrong with the metadata, as sentences.
    """

    name: str
    part: str
    title: str
    objectives: str
    needs: str
    wall_s: float | None
    minutes: int
    after: tuple[str, ...]
    exercises: Mapping[int, str]
    faults: tuple[str, ...]

    @property
    def path(self) -> str:
        """Path of the notebook below the root of the book."""
        return f"chapters/{self.name}.ipynb"


def prose(notebook: Mapping[str, Any]) -> list[str]:
    """Texts of the Markdown cells of a notebook."""
    return [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
    ]


def below(heading: str, texts: Iterable[str]) -> str:
    """Text of the cell that begins with a heading, without the heading."""
    for text in texts:
        first, _, rest = text.partition("\n")
        if first.strip() == heading:
            return rest.strip()
    return ""


def rooted(text: str, folder: str) -> str:
    """Let links between notebooks lead to the same place from any page of the book."""

    def absolute(match: re.Match[str]) -> str:
        path = Path(folder)
        for step in Path(match[1]).parts:
            path = path.parent if step == ".." else path / step
        return f"](/{path.as_posix()}{match[2] or ''})"

    return re.sub(r"\]\(([\w./-]+\.(?:ipynb|md))(#[\w-]+)?\)", absolute, text)


def read_lesson(root: Path, name: str, part: str) -> Lesson:
    """Read what the timetable says of the notebook `chapters/name.ipynb`."""
    notebook = json.loads((root / f"chapters/{name}.ipynb").read_text("utf-8"))
    texts = prose(notebook)
    metadata = notebook["metadata"]
    teaching = metadata.get("teaching")
    faults = []
    if not isinstance(teaching, dict):
        faults.append(f'has no metadata "teaching": add {EXAMPLE} beside "sslkit".')
        teaching = {}
    minutes, after = teaching.get("minutes"), teaching.get("after")
    if teaching and not (
        isinstance(minutes, int) and minutes > 0 and minutes % STEP == 0
    ):
        faults.append(
            f'says "minutes": {minutes!r} in its metadata "teaching": give the minutes '
            f"to teach it, a multiple of {STEP}."
        )
    if teaching and not (
        isinstance(after, list) and all(isinstance(other, str) for other in after)
    ):
        faults.append(
            f'says "after": {after!r} in its metadata "teaching": give a list of '
            'notebooks such as ["mnist/evaluation"], or [].'
        )
        after = []
    folder = f"chapters/{name}".rpartition("/")[0]
    objectives = rooted(below(OBJECTIVES, texts), folder)
    needs = rooted(below(NEEDS, texts), folder)
    for heading, found in ((OBJECTIVES, objectives), (NEEDS, needs)):
        if not found:
            faults.append(f'has no cell that begins with "{heading}": add one.')
    exercises = below_exercises(texts)
    return Lesson(
        name=name,
        part=part,
        title=texts[0].partition("\n")[0].removeprefix("# ").strip() if texts else name,
        objectives=objectives,
        needs=needs,
        wall_s=metadata.get("sslkit", {}).get("wall_s"),
        minutes=minutes if isinstance(minutes, int) else 0,
        after=tuple(after or ()),
        exercises=exercises,
        faults=tuple(faults),
    )


def below_exercises(texts: Iterable[str]) -> dict[int, str]:
    """Headings of exercises by number: `**2. The push.**` is `{2: "The push"}`."""
    _, _, rest = "\n\n".join(texts).partition("## Exercises\n")
    found = re.findall(r"^\*\*(\d+)\. (.+?)\*\*", rest, re.MULTILINE)
    return {int(number): title.removesuffix(".") for number, title in found}


def read_course(root: Path, first: Sequence[str] = ()) -> list[Lesson]:
    """Read all notebooks of the table of contents, in the order of teaching.

    Args:
        root: Folder of `_toc.yml`.
        first: Captions of parts that are taught before all others.

    Returns:
        A lesson for each notebook.

    Raises:
        ValueError: If a caption in `first` is none of the table of contents.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    parts = {part["caption"]: part["chapters"] for part in toc["parts"]}
    for caption in first:
        if caption not in parts:
            raise ValueError(
                f"no part {caption!r} in _toc.yml: name one of {', '.join(parts)}."
            )
    order = [*first, *(caption for caption in parts if caption not in first)]
    return [
        read_lesson(root, file.removeprefix("chapters/"), caption)
        for caption in order
        for file in (chapter["file"] for chapter in parts[caption])
        if (root / f"{file}.ipynb").exists()
    ]


def problems(course: Sequence[Lesson]) -> list[str]:
    """List what is wrong with the metadata of a course.

    Args:
        course: Lessons in the order of teaching.

    Returns:
        Sentences, each of which names the notebook and the remedy.
    """
    found = [f"{lesson.path} {fault}" for lesson in course for fault in lesson.faults]
    place = {lesson.name: number for number, lesson in enumerate(course)}
    after = {lesson.name: lesson.after for lesson in course}
    circles = set()
    for lesson in course:
        circle = find_circle(lesson.name, after)
        if circle and frozenset(circle) not in circles:
            circles.add(frozenset(circle))
            found.append(
                f"{lesson.path} needs itself ({' after '.join(circle)}): take one of "
                'these steps out of "after".'
            )
        for other in lesson.after:
            if other not in place:
                found.append(
                    f'{lesson.path} comes "after" {other!r}, which is no notebook of '
                    f"_toc.yml: correct the name, such as {course[0].name!r}."
                )
            elif not circle and place[other] > place[lesson.name]:
                found.append(
                    f'{lesson.path} comes "after" {other!r}, which is taught later: '
                    'take it out of "after", move one of them in _toc.yml, or name its '
                    "part in the option first of the timetable."
                )
    return found


def find_circle(name: str, after: Mapping[str, Sequence[str]]) -> list[str]:
    """Find a way from a notebook back to itself along `after`, empty if none."""
    paths, seen = [[name]], set()
    while paths:
        path = paths.pop()
        for other in after.get(path[-1], ()):
            if other == name:
                return [*path, name]
            if other not in seen:
                seen.add(other)
                paths.append([*path, other])
    return []


def minutes_by_part(course: Iterable[Lesson]) -> dict[str, int]:
    """Sum the minutes to teach by part, in the order of teaching."""
    totals: dict[str, int] = {}
    for lesson in course:
        totals[lesson.part] = totals.get(lesson.part, 0) + lesson.minutes
    return totals


def hours(minutes: int) -> str:
    """Write minutes as one says them: `45 min`, `2 h`, `3 h 45 min`."""
    whole, rest = divmod(minutes, 60)
    pieces = [f"{whole} h"] * bool(whole) + [f"{rest} min"] * bool(rest or not whole)
    return " ".join(pieces)


def shorten(name: str, titles: Mapping[str, str]) -> str:
    """Link to a notebook, or its bare name where there is no such notebook."""
    return f"[{titles[name]}](/chapters/{name}.ipynb)" if name in titles else name


def page(course: Sequence[Lesson]) -> str:
    """Write the timetable as Markdown with MyST directives."""
    titles = {lesson.name: lesson.title for lesson in course}
    everything = hours(sum(lesson.minutes for lesson in course))
    lines = [f"All {len(course)} notebooks take {everything} to teach.", ""]
    for part, total in minutes_by_part(course).items():
        inside = [lesson for lesson in course if lesson.part == part]
        lines += [
            f"## {part}",
            "",
            "| notebook | teach (min) | full run | after |",
            "|:---|---:|---:|:---|",
        ]
        for lesson in inside:
            run = "" if lesson.wall_s is None else duration(lesson.wall_s)
            others = ", ".join(shorten(other, titles) for other in lesson.after)
            link = shorten(lesson.name, titles)
            lines.append(f"| {link} | {lesson.minutes} | {run} | {others} |")
        wall = duration(sum(lesson.wall_s or 0 for lesson in inside))
        lines += [f"| *all {len(inside)}* | *{hours(total)}* | *{wall}* | |", ""]
        for lesson in inside:
            lines += [
                f"::::{{dropdown}} {lesson.title}",
                lesson.objectives,
                "",
                lesson.needs,
                "::::",
                "",
            ]
    return "\n".join(lines)


class Timetable(SphinxDirective):
    """The timetable of the whole course, a table a part."""

    option_spec: ClassVar = {"first": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Read the notebooks, complain of their metadata, and return the tables."""
        root = Path(self.env.srcdir)
        first = [line for line in self.options.get("first", "").splitlines() if line]
        try:
            course = read_course(root, first)
        except ValueError as error:
            raise self.error(str(error)) from error
        for lesson in course:
            self.env.note_dependency(str(root / lesson.path))
        self.env.note_dependency(str(root / "_toc.yml"))
        for problem in problems(course):
            logger.warning(problem, location=self.get_location())
        return self.parse_text_to_nodes(page(course), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("timetable", Timetable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
