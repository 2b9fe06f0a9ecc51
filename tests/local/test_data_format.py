"""A data directory's format is checked before a stack starts on it."""

from __future__ import annotations

import pytest

from mmplatform.errors import Permanent
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.settings import load
from mmplatform.settings.data_format import check_data_format


def test_a_new_directory_is_marked_and_taken_again(tmp_path):
    for _ in range(2):
        check_data_format(tmp_path)
    assert (tmp_path / "format").read_text() == "2\n"


def test_a_lakehouse_that_a_verb_created_before_the_first_start_is_no_older_release(tmp_path):
    Lakehouse.open(load(data_dir=tmp_path)).ensure_tables()
    check_data_format(tmp_path)


@pytest.mark.parametrize("folder", ["broker", "chroma"])
def test_a_directory_without_a_mark_that_a_stack_has_filled_is_refused_with_the_command(tmp_path, folder):
    (tmp_path / folder).mkdir()
    with pytest.raises(Permanent, match=rf"mmplatform migrate --from {tmp_path}"):
        check_data_format(tmp_path)


def test_a_directory_of_a_newer_format_is_refused(tmp_path):
    (tmp_path / "format").write_text("3\n")
    with pytest.raises(Permanent, match="records of format 3, and this release writes 2"):
        check_data_format(tmp_path)
