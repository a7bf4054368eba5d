"""JSON files: numbers that are not finite come back, and every file is JSON."""

import json
import math

import pytest

from ppl_mm.files import json_text, read_json, write_json

CONTENTS = {
    "numbers": {"mean": -math.inf, "error": math.inf, "none": None},
    "in lists": [[1, -math.inf], (2.5, {"x": math.inf})],
    "plain": {"a": 1, "b": [True, False, 1e300], "text": "ünï, infinity, nan"},
    "a number alone": -math.inf,
    "empty": [{}, []],
}


def lists(value):
    """The value as JSON has it, with lists for tuples."""
    if isinstance(value, dict):
        return {key: lists(item) for key, item in value.items()}
    return [lists(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_is_written_is_read(content, tmp_path):
    write_json(tmp_path / "file.json", content)
    assert read_json(tmp_path / "file.json") == lists(content)


def test_nan_comes_back(tmp_path):
    write_json(tmp_path / "file.json", {"mean": math.nan})
    assert math.isnan(read_json(tmp_path / "file.json")["mean"])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_every_file_is_json(number):
    text = json_text({"x": [number, (number,)], "y": number})
    words = json.loads(text, parse_constant=pytest.fail)
    assert words["y"] == words["x"][0] == words["x"][1][0]
    assert str(float(words["y"])) == str(number)


def test_a_file_with_the_words_of_python_is_read(tmp_path):
    (tmp_path / "file.json").write_text('{"x": [-Infinity, NaN], "y": 1.5}')
    found = read_json(tmp_path / "file.json")
    assert found["x"][0] == -math.inf
    assert math.isnan(found["x"][1])
    assert found["y"] == 1.5


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "file.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting property name"):
        read_json(tmp_path / "file.json")
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_text({"x": {1, 2}})
