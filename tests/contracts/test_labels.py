"""Labels that people keep beside their images: labels.csv and class folders."""

import pytest

from morphogen.images.conditions import Conditions
from morphogen.images.folders import read_images, write_images
from morphogen.problems import Problem
from small_sets import random_set


def bare(folder, count=3):
    """Image files and nothing beside them."""
    write_images(random_set(count), folder)
    (folder / "images" / "manifest.json").unlink()
    return folder


@pytest.mark.parametrize("place", ["labels.csv", "images/labels.csv"])
def test_a_table_gives_labels_by_file_name_with_or_without_ending(tmp_path, place):
    folder = bare(tmp_path / "set")
    (folder / place).write_text("\ufefffile,site, porosity,note\n0000.png,Ain,0.21,\n0002,Brae,1e-1,inf\n", "utf-8")
    first, second, third = (dict(p.labels) for p in read_images(folder))
    assert first == {"file": "0000.png", "site": "Ain", "porosity": 0.21}
    assert second == {"file": "0001.png"}
    assert third == {"file": "0002.png", "site": "Brae", "porosity": 0.1, "note": "inf"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,site\n0000.png,a\n", "has no column 'file'"),
        ("file,site\n0000.png,a\n0000.png,b\n", "two lines for 0000.png"),
        ("file,site\n0000.png,a,b\n", "line 2: not as many fields"),
        ("file,site\n0000.png\n", "line 2: not as many fields"),
        ('file,site\n"0000.png,a\n', "not a table"),
        ("", "has no column 'file'"),
    ],
)
def test_a_table_that_is_none_says_where(tmp_path, text, message):
    folder = bare(tmp_path / "set")
    (folder / "labels.csv").write_text(text)
    with pytest.raises(Problem, match=message):
        read_images(folder)


def test_class_folders_give_their_names(tmp_path):
    (tmp_path / "sorted").mkdir()
    for name, count in (("coarse", 2), ("fine", 3)):
        (bare(tmp_path / name, count) / "images").rename(tmp_path / "sorted" / name)
    (tmp_path / "sorted" / "notes").mkdir()  # a folder without images is no class
    images = read_images(tmp_path / "sorted")
    assert [p.labels["class"] for p in images] == ["coarse"] * 2 + ["fine"] * 3
    assert images.specimens == ("coarse/0000", "coarse/0001", "fine/0000", "fine/0001", "fine/0002")
    found = Conditions.of(["class"], list(images))
    assert found.classes[0].values == ("coarse", "fine")
    # What is written keeps them.
    write_images(images, tmp_path / "again")
    assert [p.labels["class"] for p in read_images(tmp_path / "again")] == ["coarse"] * 2 + ["fine"] * 3
