"""Pictures appear whole under their names, or not at all."""

from pathlib import Path

import pytest

from include.core.plots import figure_file


def test_a_picture_appears_when_it_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "plot.png"
    with figure_file(target, width=4, height=2) as figure:
        figure.subplots().plot([1, 2])
        assert not target.exists()
    assert target.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "plot.png"
    target.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), figure_file(target, width=4, height=2):
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("name", [r"$\foo$", "$x", "a_{b", r"\frac{", "$$", "50 $ or more $", r"$\mathtt{\unknown}$"])
def test_a_name_that_looks_like_a_formula_is_text(tmp_path: Path, name: str) -> None:
    """Households, classes and files may have any name; as a formula, some of these stop the plot."""
    with figure_file(tmp_path / "plot.png", width=4, height=2) as figure:
        axes = figure.subplots()
        axes.barh([0], [1], label=name)
        axes.set_yticks([0], [name])
        axes.set_title(name)
        axes.legend()
    assert (tmp_path / "plot.png").stat().st_size > 0
