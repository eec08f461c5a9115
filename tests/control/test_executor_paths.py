"""Paths of the ContainerExecutor dialect, as the two sides name them."""

from pathlib import Path

import pytest

from include.control.executor_paths import ExchangeFolder, base_of, method_path
from include.core.errors import BadInputError


def test_each_side_names_the_folder_in_its_own_way(tmp_path):
    exchange = ExchangeFolder.of(f"{tmp_path}=/data")
    assert exchange.outside(tmp_path / "7" / "a.csv") == "/data/7/a.csv"
    assert exchange.inside("/data/7/a.csv") == tmp_path / "7" / "a.csv"
    same = ExchangeFolder.of(str(tmp_path))
    assert same.inside(same.outside(tmp_path / "a.csv")) == tmp_path / "a.csv"
    with pytest.raises(BadInputError, match="absolute"):
        ExchangeFolder.of(f"{tmp_path}=data")


@pytest.mark.parametrize("path", ["/etc/passwd", "/data/../etc/passwd", "a.csv", "", "/database/a.csv", "/data/a\n"])
def test_a_path_outside_the_folder_is_refused(path):
    with pytest.raises(BadInputError, match="must be a path below /data"):
        ExchangeFolder(Path("/srv"), "/data").inside(path)


def test_a_name_stands_at_the_end_of_a_path():
    assert base_of(Path("/x/a.csv"), ["a.csv", "x/a.csv", "a"]) == {"a.csv": Path("/x"), "x/a.csv": Path("/")}


def test_the_package_is_part_of_the_path():
    assert method_path("") == "/ContainerExecutor/Execute"
    assert method_path("energy.v2") == "/energy.v2.ContainerExecutor/Execute"
