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


def classes(folder):
    """Two class folders: coarse has 0000 and 0001, fine 0000 to 0002."""
    folder.mkdir()
    for name, count in (("coarse", 2), ("fine", 3)):
        (bare(folder.parent / name, count) / "images").rename(folder / name)
    return folder


def test_a_table_above_class_folders_names_images_with_their_class_or_without(tmp_path):
    folder = classes(tmp_path / "sorted")
    (folder / "labels.csv").write_text("file,depth\ncoarse/0000.png,1\nfine\\0000,2\n0002.png,3\nfine/0001.png,4\n")
    images = read_images(folder)
    assert [p.labels.get("depth") for p in images] == [1, None, 2, 4, 3]
    assert [p.labels["class"] for p in images] == ["coarse"] * 2 + ["fine"] * 3
    # A table in the class folder goes before the one above; what it does not say, the other one does.
    (folder / "fine" / "labels.csv").write_text("file,depth,dye\n0000.png,7,\n0002,,red\n")
    images = read_images(folder)
    assert [p.labels.get("depth") for p in images] == [1, None, 7, 4, 3]
    assert images[4].labels["dye"] == "red"


def test_a_short_name_that_two_classes_have_is_refused(tmp_path):
    folder = classes(tmp_path / "sorted")
    for name in ("0000.png", "0000"):
        (folder / "labels.csv").write_text(f"file,depth\n{name},1\n")
        with pytest.raises(Problem, match=rf"a line for {name}, which is in coarse and fine: name it as coarse/0000"):
            read_images(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,site\n0000.png,a\n000l.png,b\n", "a line that names no image, the first 000l.png: mend the name"),
        ("file,site\nx.png,a\n0000.png,a\ny.png,b\n", "2 lines that name no image, the first x.png"),
        ("file,site\n0000.png,a\n0000,b\n", "two lines for 0000.png"),
    ],
)
def test_lines_that_no_image_takes_are_refused(tmp_path, text, message):
    folder = bare(tmp_path / "set")
    (folder / "labels.csv").write_text(text)
    with pytest.raises(Problem, match=message):
        read_images(folder)


def test_lines_for_images_that_were_not_asked_for_are_none_of_them(tmp_path):
    folder = bare(tmp_path / "set")
    (folder / "labels.csv").write_text("file,site\n0000.png,a\n0001.png,b\n0002.png,c\n")
    assert [p.labels["site"] for p in read_images(folder, files="*1.png")] == ["b"]
    assert read_images(folder / "images" / "0002.png")[0].labels["site"] == "c"


def test_a_table_that_may_not_be_read_is_no_fault(tmp_path, monkeypatch):
    folder = bare(tmp_path / "set")
    (folder / "labels.csv").write_text("file,site\n0000.png,a\n")

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("morphogen.images.labels.open", forbidden, raising=False)
    with pytest.raises(Problem, match=r"labels.csv cannot be read \(Permission denied\): ask for the right"):
        read_images(folder)
