"""What the pages of the studio stand on: one workspace, its work, its open sets, and how a page is answered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

import morphogen
from morphogen.serving.own_page import give_cookie
from morphogen.studio.pictures import Galleries, Gallery
from morphogen.studio.sketch_desk import SketchDesk
from morphogen.studio.work import Launch, Works
from morphogen.studio.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the studio, one for a task.

    Attributes:
        task: its address and the word for its work: "train".
        title: in the navigation.
        module: file in ``studio/`` with ``router(studio)``, and ``BODIES`` where it takes large ones.
    """

    task: str
    title: str
    module: str


PAGES = (
    Page("look", "Look", "looking"),
    Page("train", "Train", "training"),
    Page("generate", "Generate", "generating"),
    Page("edit", "Edit", "editing"),
    Page("compare", "Compare", "comparing"),
)

WITHOUT_PAGE = ("downloading",)
"""Files in ``studio/`` with ``router(studio)`` that several pages ask."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be uploaded.

    Attributes:
        file_bytes: of one file.
        set_bytes: of all files of a set.
        set_pixels: that the files of a set may have, decoded, channels counted.
        files: of a set.
    """

    file_bytes: int = 2**31
    set_bytes: int = 2**33
    set_pixels: int = 2**32
    files: int = 5000


@dataclass
class Studio:
    """One studio.

    Attributes:
        workspace: its folder.
        works: what is being done there.
        galleries: sets that are open.
        sketches: where pictures are asked for that are wanted at once.
        limits: of uploads.
        beginnings: called when the server starts; routers add what they need.
        endings: called when it ends.
    """

    workspace: Workspace
    works: Works
    sketches: SketchDesk
    galleries: Galleries = field(default_factory=Galleries)
    limits: Limits = field(default_factory=Limits)
    beginnings: list[Callable[[], object]] = field(default_factory=list)
    endings: list[Callable[[], object]] = field(default_factory=list)

    @classmethod
    def of(cls, workspace: Workspace, *, launch: Launch | None = None, limits: Limits | None = None) -> "Studio":
        """The studio of a workspace; see ``Works`` and ``Limits``."""
        desk = SketchDesk(workspace.folder, workspace.own / "sketching.log")
        return cls(workspace, Works(workspace, launch), desk, limits=limits or Limits(), endings=[desk.close])

    def gallery(self, name: str) -> Gallery:
        """The image set of a name; of triples the images after.

        Raises:
            Missing: there is none.
            Problem: it cannot be read.
        """
        return self.galleries.of(self.workspace.find(name, "set", "triples"))

    def page(self, request: Request, task: str, **shown: object) -> HTMLResponse:
        """A page, from the template ``TASK.html.j2``, with its cookie."""
        known = {"workspace": str(self.workspace.folder), "version": morphogen.__version__}
        text = environment().get_template(f"{task}.html.j2").render(pages=PAGES, task=task, **known, **shown)
        response = HTMLResponse(text)
        give_cookie(response, request, self.workspace.secret, f"{request.scope.get('root_path', '')}/")
        return response


@cache
def environment() -> Environment:
    """The templates of the studio."""
    return Environment(
        loader=PackageLoader("morphogen.studio", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def own_folder() -> Path:
    """Where the pages' own files lie."""
    return Path(__file__).parent
