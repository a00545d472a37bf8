"""Results are objects: compared and shown by their fields, and open to more of them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from layerdisk._record import Record
from layerdisk.findings import Finding
from layerdisk.tar2ext4 import ConvertResult

FINDING = Finding(code="B3", entry="f", offset=512, message="a wrong time", identical=False)
RESULT = ConvertResult(digest="sha256:00", size=1024, image_size=4096, findings=(FINDING,))


def test_a_result_shows_its_fields_in_order() -> None:
    assert repr(RESULT) == (
        "ConvertResult(digest='sha256:00', size=1024, image_size=4096, blocks=0, inodes=0, directories=0,"
        " findings=(Finding(code='B3', entry='f', offset=512, message='a wrong time', identical=False, count=1),),"
        " verity=None)"
    )


@pytest.mark.parametrize("name", ["code", "entry", "offset", "message", "identical", "count"])
def test_findings_differ_if_any_field_does(name: str) -> None:
    fields: dict[str, Any] = FINDING._asdict()
    assert Finding(**fields) == FINDING
    assert hash(Finding(**fields)) == hash(FINDING)
    assert Finding(**fields | {name: "another"}) != FINDING


def test_a_result_is_not_equal_to_other_objects_with_its_fields() -> None:
    class Other(Finding):
        pass

    assert Other(**FINDING._asdict()) != FINDING
    assert tuple(FINDING._asdict().values()) != FINDING


@pytest.mark.parametrize("value", [FINDING, RESULT], ids=["finding", "result"])
def test_a_result_can_be_pickled_and_copied(value: Record) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


def test_a_result_pickled_before_it_had_a_field_can_be_read() -> None:
    make, (kind, fields) = FINDING.__reduce__()
    del fields["count"]
    assert make(kind, fields) == FINDING


def test_a_result_cannot_be_changed_or_taken_for_a_tuple() -> None:
    with pytest.raises(AttributeError, match=r"Finding\.code cannot be set"):
        FINDING.code = "B4"
    with pytest.raises(AttributeError, match=r"Finding\.code cannot be deleted"):
        del FINDING.code
    with pytest.raises(AttributeError):
        FINDING.other = 1
    with pytest.raises(TypeError):
        iter(RESULT)  # type: ignore[call-overload]
