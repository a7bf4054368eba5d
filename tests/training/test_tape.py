"""Recorded operations do again what they did, in place, as views and at random."""

import pytest
import torch

from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.training.reused import written_over
from ppl_mm.training.tape import Unrecordable, program, record


def recorded(step, *inputs):
    graph, constants = record(step, inputs)
    return program(graph, constants), graph


def operations(graph):
    return [str(node.target) for node in graph.nodes if node.op == "call_function"]


def test_a_program_computes_with_its_inputs_and_reads_constants_anew():
    x, c = torch.ones(2, 3), torch.tensor([1.0, 2.0, 3.0])
    run, _ = recorded(lambda: [(x * c).sum(0), None], x)
    assert run(torch.full((2, 3), 2.0))[0].tolist() == [4, 8, 12]
    c += 1.0
    total, nothing = run(x)
    assert total.tolist() == [4, 6, 8]
    assert nothing is None


def test_draws_go_on_from_torchs_generator_also_where_nobody_uses_them():
    x = torch.zeros(3)

    def step():
        torch.randn(5)  # moves the generator
        return [x + torch.randn(3), torch.empty(2).uniform_(), torch.dropout(x + 1, 0.5, True)]

    run, _ = recorded(step, x)
    torch.manual_seed(1)
    expected = step()
    torch.manual_seed(1)
    found = run(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_changes_in_place_reach_the_inputs_and_the_views_of_what_changed():
    x, count = torch.zeros(4), torch.zeros(())

    def step():
        count.add_(1)
        y = x * 1.0
        y[1:3].mul_(2.0).add_(5.0)
        return [y.sum(), y[2:].clone()]

    run, _ = recorded(step, x, count)
    total, last = run(torch.ones(4), count)
    assert count == 2
    assert (total.item(), last.tolist()) == (16.0, [7.0, 1.0])


def test_views_that_lie_alike_are_one_and_what_is_unused_is_dropped():
    w, x = torch.randn(2, 3), torch.randn(4, 3)

    def step():
        x.exp()
        return [x @ w.T, (x @ w.T) @ w.T.T, x.detach() @ w.T]

    _, graph = recorded(step, w, x)
    assert operations(graph).count("aten.permute.default") == 1
    assert {*operations(graph)} == {"aten.permute.default", "aten.mm.default"}


def test_numbers_of_python_are_new_tensors_in_every_step():
    x = torch.zeros(1)
    run, _ = recorded(lambda: [torch.tensor([1.0]).add_(1.0) + x], x)
    assert [run(x)[0].item() for _ in range(2)] == [2.0, 2.0]


def test_several_results_and_lists_of_tensors():
    x = torch.arange(6.0)

    def step():
        a, b = x.split(3)
        values, places = torch.cat([b, a]).max(0)
        return [values, places, torch.stack(x.unbind()[:2])]

    run, _ = recorded(step, x)
    assert [y.tolist() for y in run(x.flip(0))] == [5, 3, [5, 4]]


def test_host_tensors_are_computed_once():
    x = torch.ones(3)

    def step():
        mask = HostTensor.of(torch.tensor([True, False, True]), x.device)
        assert bool((mask | ~mask).all())
        return [torch.where(~mask, x, 0.0)]

    run, graph = recorded(step, x)
    assert operations(graph) == ["aten.where.self"]
    assert run(x)[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.equal(x, x + 1),
        lambda x: int(torch.randint(3, ())),
    ],
)
def test_what_reads_values_is_refused_and_the_place_told(look):
    x = torch.ones(3)

    def step():
        look(x)
        return [x]

    with pytest.raises(Unrecordable, match=r"reads values at .*test_tape.py:\d+"):
        record(step, [x])


def test_tensors_that_were_there_before_may_be_read():
    x, c = torch.ones(2), torch.tensor([3.0])
    run, _ = recorded(lambda: [x * c.item() * c.tolist()[0]], x)
    assert run(x + 1)[0].tolist() == [18, 18]


def reused(step, *inputs):
    """The names of operations that a program does in place, once its results are checked."""
    expected = [x.clone() for x in step()]
    run, graph = recorded(step, *inputs)
    before = [x.clone() for x in inputs]
    for _ in range(2):
        found = run(*inputs)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))
    return [str(target) for target, _ in written_over(graph).values()]


def test_an_operation_writes_over_what_nobody_reads_again():
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    found = reused(lambda: [(x * y + x).exp().neg()], x, y)
    assert found == ["aten.add_.Tensor", "aten.exp_.default", "aten.neg_.default"]
    assert reused(lambda: [x + (x * y)], x, y) == ["aten.add_.Tensor"]  # in the other order
    assert reused(lambda: [x - (x * y)], x, y) == []


def test_it_writes_over_nothing_that_is_read_later_or_in_another_order():
    x = torch.randn(3, 3)

    def read_later():
        a = x * 2.0
        b = a + 1.0
        return [b * a]

    def viewed_later():
        a = x * 2.0
        row, b = a[0], a + 1.0
        return [b * row]

    def turned():
        a = x * 2.0
        return [a + a.T]

    def results():
        a = x * 2.0
        return [a, a + 1.0, a.view(9)]

    assert reused(read_later, x) == ["aten.mul_.Tensor"]
    assert reused(viewed_later, x) == ["aten.mul_.Tensor"]
    assert reused(turned, x) == []
    assert reused(results, x) == []


def test_it_writes_over_no_input_no_constant_and_no_other_layout():
    x, c = torch.randn(6), torch.randn(6)
    assert reused(lambda: [x.exp(), c.exp(), x.view(2, 3).neg()], x) == []
    assert reused(lambda: [torch.arange(6.0).view(2, 3) + x.view(2, 3)], x) == []  # made once
    assert reused(lambda: [(x[:1] * 2.0).expand(6) + x], x) == []
    assert reused(lambda: [(x * 2.0) > 0, (x * 2.0).double()], x) == []


def test_copies_that_are_changed_are_the_first_argument_itself():
    x, rows = torch.randn(2, 3), torch.tensor([1, 3])
    step = lambda: [x.new_zeros(4, 3).index_add(0, rows, x)]  # noqa: E731
    assert reused(step, x) == ["aten.index_add_.default"]
