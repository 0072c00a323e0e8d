"""Files, functions and classes stay within the measures of the house, or say why not."""

from __future__ import annotations

from tests.repository import house


def test_nothing_is_over_the_measures_of_the_house_without_a_reason():
    assert [sentence for path in house.files() for sentence in house.over(path)] == []


def test_what_is_over_is_found_and_a_reason_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(house, "ROOT", tmp_path)
    sets = "".join(f"        self.a{n} = 0\n" for n in range(house.ATTRIBUTES + 1))
    long = "def long():\n" + "    pass\n" * house.FUNCTION_LINES
    path = tmp_path / "one.py"
    path.write_text(f"class Wide:\n    def __init__(self):\n{sets}\n\n{long}" + "\n" * house.LINES)
    assert [sentence.split(": ")[-1].split()[1] for sentence in house.over(path)] == ["lines,", "sets", "has"]
    reason = f"# {house.REASON}a table\n"
    path.write_text(f"{reason}class Wide:  {reason}    def __init__(self):\n{sets}" + "\n" * house.LINES)
    assert list(house.over(path)) == []


def test_functions_of_scripts_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(house, "ROOT", tmp_path)
    body = "    go();\n" * (house.FUNCTION_LINES - 1)
    path = tmp_path / "one.js"
    path.write_text(
        f"function declared(\n  a,\n) {{\n{body}}}\n"
        f"class Wide {{\n  async method({{ a, b }}) {{\n{body}  }}\n\n  short() {{\n    go();\n  }}\n}}\n"
        f"const arrow = (a, b) => {{\n{body}\n}};\n"
        f"const one = (a) => a;\nif (a) {{\n{body}{body}}}\n"
    )
    assert [sentence.split(": ")[1].split()[0] for sentence in house.over(path)] == ["declared", "method", "arrow"]
    path.write_text(
        f"const arrow = (a, b) => {{ // {house.REASON}a table\n{body}\n}};\nfunction fits() {{\n{body[10:]}}}\n"
    )
    assert list(house.over(path)) == []
