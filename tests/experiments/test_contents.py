"""Every table and figure of the papers is there, and a stand-in is the page that it stands in for.

The rows, columns and settings of each page stand in the folder of its paper.
"""

from dataclasses import replace

import pytest

from ppl_mm.experiments.options import lacks
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import SCALES, runs_of

# Every table and figure with data. Those that are not here are drawings of models, need a person's
# judgement, or show what another page shows.
HAVE = {
    "mvae": "table-1 table-2 table-3 table-4 table-6 table-7 table-8 table-9 table-10 "
    "figure-2 figure-3 figure-9 figure-10 table-2-celeba table-6-celeba",
    "mmvae_plus": " ".join(f"figure-{n}" for n in range(1, 22) if n != 5),  # 5 shows the data
    "meme": "table-2 table-3 table-4 table-5 table-6 table-7 "
    "figure-3 figure-4 figure-5 figure-6 figure-7 figure-8 figure-9 figure-10",
    "cmmd": "table-1 table-2 table-2-xrmb table-2-flickr table-3 table-4 table-5 table-6 table-7 "
    "table-8 table-c.1 table-h.1 table-h.2 figure-3 figure-4 figure-5 figure-6 figure-c.1 "
    "figure-f.1 figure-g.1 section-4.4",
    "svae": "table-1 figure-2 figure-3 figure-4 figure-5 figure-6 figure-7 figure-8 figure-9 "
    "figure-e.10 figure-e.11 figure-e.10-halves figure-e.11-halves",
}


@pytest.mark.parametrize("paper", HAVE)
def test_every_table_of_the_paper_is_there(paper):
    assert set(HAVE[paper].split()) <= set(TABLES[paper])


STAND_INS = [
    (paper, name)
    for paper, tables in TABLES.items()
    for name, table in tables.items()
    if name.endswith("-fashion")
]


@pytest.mark.parametrize(("paper", "name"), STAND_INS)
def test_a_stand_in_has_the_runs_of_its_page(paper, name):
    def of(run):
        named = {n: getattr(run, n).replace("svhn", "fashion") for n in NAMED if hasattr(run, n)}
        return replace(run, **named)

    whose = TABLES[paper][name.removesuffix("-fashion")]
    for scale in SCALES:
        runs = [of(run) for run in runs_of(whose, scale)]
        assert runs_of(TABLES[paper][name], scale) == runs
    assert "SVHN" in TABLES[paper][name].stands_in


NAMED = ("dataset", "scheme", "direction", "observed")


BRANCHES = {
    **dict.fromkeys(("fraction", "supervision", "keep"), lambda share: share < 1),
    "scheme": lambda scheme: scheme != "split",
    "num_particles": lambda number: number > 1,
    "observed": lambda names: names.count("+") > 0,
    "omega": lambda omega: "ends" if omega in (0, 1) else "between",
    "scale": lambda scale: scale is not None,
    "split": bool,
    "strata": bool,
}
"""An option -> the branch that a value of it takes; smoke runs may miss False."""
NAMED_BRANCHES = ("dataset", "terms", "objective", "preset", "direction", "family", "impartial")


def branches(run):
    """The branches that a run takes, each with its system."""
    system = getattr(run, "system", getattr(run, "method", ""))
    own = [n for n in (*NAMED_BRANCHES, *BRANCHES) if hasattr(run, n) and not lacks(run, n)]
    taken = {(n, BRANCHES.get(n, lambda value: value)(getattr(run, n))) for n in own}
    return {(system, *branch) for branch in taken if branch[1] is not False}


@pytest.mark.parametrize(
    ("paper", "name"), [(paper, name) for paper, tables in TABLES.items() for name in tables]
)
def test_smoke_runs_take_every_branch_of_the_paper(paper, name):
    """Fractions below 1, one direction only, K above 1, DReG, every data set: of any system."""
    table = TABLES[paper][name]
    taken = [
        {branch for run in runs_of(table, scale) for branch in branches(run)}
        for scale in ("paper", "smoke")
    ]
    assert taken[0] <= taken[1]
