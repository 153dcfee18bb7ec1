"""docs/add_a_method.md is true: its file, put where it says, trains and generates."""

import importlib
import re
import sys
from pathlib import Path

import morphogen.methods
from morphogen.generation.generate import generate
from morphogen.methods.method import method_names
from morphogen.training.train import train
from small_sets import random_set

PAGE = Path(__file__).parents[2] / "docs" / "add_a_method.md"


def test_the_method_of_the_page_works_from_its_one_file(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "repainter.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(morphogen.methods, "__path__", [*morphogen.methods.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    try:
        assert "repainter" in method_names()
        run = train("repainter", random_set(), tmp_path / "run", images_seen=320, size=(16, 24), cpu=True)
        first, last = (run.progress()[i]["losses"]["repainting"] for i in (0, -1))
        assert last < first
        assert generate(run, count=2, cpu=True)[1].size == (16, 24)
    finally:
        sys.modules.pop("morphogen.methods.repainter", None)
