"""The networks of English and Vietnamese sentences; :mod:`ppl_mm.networks.presets` has them too.

Source: Wu & Goodman 2018, arXiv:1802.05335, section 7. The paper gives one recurrent encoder and
decoder for each language, those of Bowman et al. 2016 (arXiv:1511.06349), at most 70 symbols, word
dropout, and D = 100. It does not give the vocabularies, which come with the sentences, nor the
sizes of embedding and state and the rate of word dropout, which this library chose.
"""

from functools import partial
from typing import Any

from ppl_mm.networks.sentence import SentenceDecoder, SentenceEncoder, SentenceFeatures

_EN: dict[str, Any] = {"length": 70, "vocab_size": 17_191, "embedding": 256, "hidden": 512}
_VI: dict[str, Any] = {**_EN, "vocab_size": 7_709}

iwslt_en_encoder = partial(SentenceEncoder, **_EN)
iwslt_en_decoder = partial(SentenceDecoder, **_EN, word_dropout=0.5)
iwslt_en_features = partial(SentenceFeatures, **_EN)
iwslt_vi_encoder = partial(SentenceEncoder, **_VI)
iwslt_vi_decoder = partial(SentenceDecoder, **_VI, word_dropout=0.5)
iwslt_vi_features = partial(SentenceFeatures, **_VI)
