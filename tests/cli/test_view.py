"""The view of a run in the terminal, sign by sign."""

from comparing import call
from rich.console import Console

from ppl_mm.cli.watch import _shown
from ppl_mm.files import owned


def seen(folder, width=80):
    console = Console(width=width, record=True)
    console.print(_shown(folder, width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def history(folder, rows, names=("epoch", "loss")):
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


def test_the_state_of_a_run_is_its_owner_or_how_it_ended(tmp_path):
    assert seen(tmp_path, 200)[0] == f"{tmp_path}: stopped, 0 epochs"
    history(tmp_path, [(1, 4.0)])
    (tmp_path / "system.safetensors").write_text("")
    assert seen(tmp_path, 200)[0] == f"{tmp_path}: ended, 1 epoch"
    with owned(tmp_path):
        assert f"{tmp_path}: process " in seen(tmp_path, 200)[0]


def test_a_curve_goes_from_the_smallest_to_the_largest_value(tmp_path):
    history(tmp_path, [(1, 9, 0.5, 3), (2, 2, 0.5, 3), (3, 5.5, 0.5, 3)],
            ("epoch", "loss", "same", "seconds"))  # fmt: skip
    *_, loss, same = seen(tmp_path)
    assert loss.strip() == "loss █▁▅ 2 to 9"
    assert same.strip() == "same ▁▁▁ 0.5 to 0.5"


def test_the_table_has_the_last_ten_epochs_without_parts_of_the_loss(tmp_path):
    rows = [(i, 100.0 / i, 1.0, i) for i in range(1, 13)]
    history(tmp_path, rows, ("epoch", "loss", "a/b", "seconds"))
    text = "\n".join(seen(tmp_path))
    cells = [line.split()[1] for line in text.splitlines() if line.startswith("│")]
    assert cells == [str(i) for i in range(3, 13)]
    heading = next(line for line in text.splitlines() if line.startswith("┃"))
    assert "a/b" not in heading
    assert "seconds" in heading
    assert "8.33333" in text
    assert "a/b ▁" in text  # the curve of a part is there


def test_names_with_square_brackets_are_headings_and_titles_of_curves(tmp_path):
    history(tmp_path, [(1, 1, 1), (2, 2, 2)], ("epoch", "loss", "error [mm]"))
    text = "\n".join(seen(tmp_path))
    assert text.count("error [mm]") == 2


def test_a_long_run_is_thinned_out_to_the_width(tmp_path):
    history(tmp_path, [(i, i) for i in range(1000)])
    *_, line = seen(tmp_path, 80)
    curve = line.split()[1]
    assert len(curve) == 80 - len("loss") - 26
    assert (curve[0], curve[-1]) == ("▁", "█")
    assert list(curve) == sorted(curve)


def test_values_that_are_no_numbers_leave_a_gap_in_the_curve(tmp_path):
    history(tmp_path, [(1, 4, "nan"), (2, "inf", "nan"), (3, 2, "nan")], ("epoch", "loss", "elbo"))
    *_, loss = seen(tmp_path)
    assert loss.strip() == "loss █ ▁ 2 to 4"


def test_a_measure_with_a_long_name_is_cut(tmp_path):
    name = "log_likelihood:label|top-and-bottom"
    history(tmp_path, [(1, 1, 1), (2, 2, 2)], ("epoch", "loss", name))
    *_, line = seen(tmp_path, 100)
    assert line == f"{name[:27]}… ▁█ 1 to 2"


def test_only_a_run_can_be_watched(tmp_path):
    result = call("watch", tmp_path / "nothing")
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path / 'nothing'}: no run here.\n"
