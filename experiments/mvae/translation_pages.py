"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335), section 7: translation from few pairs."""

from dataclasses import replace

from ppl_mm.experiments.mvae import translation, translation_table
from ppl_mm.experiments.mvae.translation import Config
from ppl_mm.experiments.reproduction import Table, each, repeated

__all__ = ["TABLES"]

RUNS = [Config(fraction=fraction) for fraction in translation_table.FRACTIONS]
SIZES = {"num_words": 1000, "hidden": 64, "num_train": 4000, "num_test": 100, "num_samples": 20}
SHORT = each([RUNS[3], RUNS[5]], epochs=5, batch_size=50, **SIZES)

LIKELIHOODS = Table(
    title="English and Vietnamese: log-likelihoods by the share of pairs",
    experiment=translation,
    data=("iwslt",),
    paper=RUNS,
    short=SHORT,
    show=translation_table.table_4,
)
TABLES = {
    "table-4": replace(LIKELIHOODS, paper=repeated(RUNS, 3)),
    "table-5": replace(
        LIKELIHOODS,
        title="English and Vietnamese: translations",
        show=translation_table.table_5,
    ),
    "table-11": replace(
        LIKELIHOODS,
        title="English and Vietnamese: pairs of sentences from one draw of the latent",
        show=translation_table.table_11,
    ),
    "table-12": replace(
        LIKELIHOODS,
        title="Vietnamese translations of English sentences",
        show=translation_table.table_12,
    ),
    "table-13": replace(
        LIKELIHOODS,
        title="English translations of Vietnamese sentences",
        show=translation_table.table_13,
    ),
}
