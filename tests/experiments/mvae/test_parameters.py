"""The counts of Table 1 are the paper's, but for the two that are known to differ."""

import json
from dataclasses import replace
from pathlib import Path

from ppl_mm.experiments.mvae import parameters as mvae_parameters
from ppl_mm.experiments.mvae.parameters import PAPER, SMOKE


def test_counts_are_the_papers(tmp_path: Path):
    config = replace(SMOKE, out=str(tmp_path))
    counts = mvae_parameters.main(config)
    differences = {
        (system, name): number - PAPER[system][name]
        for system, own in counts.items()
        for name, number in own.items()
    }
    unlike = {key: difference for key, difference in differences.items() if difference}
    # the release's encoders of MVAE19: 4,070,472 + 18 * 366,280
    assert unlike == {("jmvae", "multimnist"): -66_336, ("mvae19", "celeba"): -193_536}
    assert len(differences) == 24
    record = json.loads((tmp_path / f"{config.name}.json").read_text())
    page = mvae_parameters.table_1([record])
    assert "| MVAE19 |  |  |  | 10,663,512 |" in page
    assert "| *CVAE, paper* | 735,360 | 3,414,656 |  | 4,079,688 |" in page
