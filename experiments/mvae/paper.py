"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335): the numbers of its tables 2, 3, 6 and 7."""

__all__ = ["ACCURACY", "LIKELIHOODS", "VARIANCES", "Numbers"]

Numbers = tuple[float | None, float | None, float | None]
"""log p(x1), log p(x1, x2) and log p(x1 | x2); None where the paper has no number."""

# Wu & Goodman 2018, tables 2 and 6: data set -> proposal -> system. The conditional rows of tables
# 2 and 6, and 3 and 7, are read as swapped: for one proposal the joint and the conditional weights
# differ by a constant, so their variances must agree, and only then they do.
LIKELIHOODS: dict[str, dict[str, dict[str, Numbers]]] = {
    "binary_mnist": {
        "x1": {
            "vae": (-86.313, None, None),
            "bivcca": (-87.354, None, None),
            "jmvae": (-86.305, -86.371, -83.820),
            "mvae_q": (-91.665, -92.259, None),
            "mvae": (-86.026, -86.255, -83.940),
        },
        "x1x2": {
            "cvae": (None, None, -83.448),
            "jmvae": (-86.234, -86.304, -83.985),
            "mvae_q": (None, None, -90.024),
            "mvae": (-86.051, -86.278, -83.970),
        },
    },
    "mnist": {
        "x1": {
            "vae": (-91.126, None, None),
            "bivcca": (-92.089, None, None),
            "jmvae": (-90.697, -90.769, -88.436),
            "mvae_q": (-96.028, -96.641, None),
            "mvae": (-90.619, -90.859, -88.558),
        },
        "x1x2": {
            "cvae": (None, None, -87.773),
            "jmvae": (-90.962, -91.031, -88.696),
            "mvae_q": (None, None, -94.347),
            "mvae": (-90.616, -90.851, -88.569),
        },
    },
    "fashion_mnist": {
        "x1": {
            "vae": (-232.758, None, None),
            "bivcca": (-233.634, None, None),
            "jmvae": (-232.630, -232.948, -230.651),
            "mvae_q": (-236.081, -236.827, None),
            "mvae": (-232.535, -233.007, -230.699),
        },
        "x1x2": {
            "cvae": (None, None, -229.667),
            "jmvae": (-232.401, -232.700, -230.396),
            "mvae_q": (None, None, -234.514),
            "mvae": (-232.539, -233.007, -230.695),
        },
    },
    "multimnist": {
        "x1": {
            "vae": (-152.835, None, None),
            "bivcca": (-202.490, None, None),
            "jmvae": (-152.787, -153.101, -145.761),
            "mvae_q": (-166.580, -173.615, None),
            "mvae": (-152.761, -153.469, -147.009),
        },
        "x1x2": {
            "jmvae": (-153.026, -153.320, -145.977),
            "mvae_q": (None, None, -163.302),
            "mvae": (-152.826, -153.478, -147.027),
        },
    },
    "celeba": {
        "x1": {
            "vae": (-6237.120, None, None),
            "bivcca": (-7263.536, None, None),
            "jmvae": (-6237.967, -6242.187, -6235.330),
            "mvae_q": (-6290.085, -6294.861, None),
            "mvae": (-6236.923, -6242.034, -6235.368),
            "mvae19": (-6236.109, -6239.944, -6233.330),
        },
        "x1x2": {
            "cvae": (None, None, -6228.771),
            "jmvae": (-6234.542, -6238.280, -6231.468),
            "mvae_q": (None, None, -6311.487),
            "mvae": (-6237.104, -6241.621, -6234.955),
            "mvae19": (-6236.113, -6239.957, -6233.340),
        },
    },
}
# Tables 3 and 7: variances of the log weights.
VARIANCES: dict[str, dict[str, dict[str, Numbers]]] = {
    "binary_mnist": {
        "x1": {
            "vae": (22.264, None, None),
            "bivcca": (55.846, None, None),
            "jmvae": (39.427, 41.003, 40.646),
            "mvae_q": (34.300, 34.615, None),
            "mvae": (22.181, 23.343, 23.035),
        },
        "x1x2": {
            "cvae": (None, None, 21.203),
            "jmvae": (22.387, 23.309, 23.877),
            "mvae_q": (None, None, 34.719),
            "mvae": (21.791, 21.917, 19.478),
        },
    },
    "mnist": {
        "x1": {
            "vae": (26.904, None, None),
            "bivcca": (93.885, None, None),
            "jmvae": (37.479, 40.126, 40.086),
            "mvae_q": (37.463, 38.190, None),
            "mvae": (25.640, 27.570, 27.652),
        },
        "x1x2": {
            "cvae": (None, None, 22.486),
            "jmvae": (24.962, 26.767, 26.695),
            "mvae_q": (None, None, 38.090),
            "mvae": (25.741, 26.057, 25.899),
        },
    },
    "fashion_mnist": {
        "x1": {
            "vae": (25.795, None, None),
            "bivcca": (33.930, None, None),
            "jmvae": (53.697, 56.640, 56.452),
            "mvae_q": (34.285, 34.908, None),
            "mvae": (20.309, 20.587, 19.934),
        },
        "x1x2": {
            "cvae": (None, None, 12.748),
            "jmvae": (28.443, 29.874, 26.658),
            "mvae_q": (None, None, 34.978),
            "mvae": (18.092, 18.263, 18.443),
        },
    },
    "multimnist": {
        "x1": {
            "vae": (54.554, None, None),
            "bivcca": (185.709, None, None),
            "jmvae": (84.186, 91.850, 92.683),
            "mvae_q": (69.099, 64.556, None),
            "mvae": (26.917, 27.989, 28.649),
        },
        "x1x2": {
            "jmvae": (35.822, 38.298, 37.726),
            "mvae_q": (None, None, 44.269),
            "mvae": (16.437, 16.672, 16.822),
        },
    },
    "celeba": {
        "x1": {
            "vae": (56.291, None, None),
            "bivcca": (429.045, None, None),
            "jmvae": (331.865, 334.887, 335.046),
            "mvae_q": (100.072, 101.238, None),
            "mvae": (73.923, 76.938, 77.516),
            "mvae19": (71.640, 72.030, 71.603),
        },
        "x1x2": {
            "cvae": (None, None, 56.852),
            "jmvae": (80.808, 81.312, 81.190),
            "mvae_q": (None, None, 101.223),
            "mvae": (73.871, 74.968, 73.885),
            "mvae19": (71.546, 71.953, 71.824),
        },
    },
}
# Tables 8 (grey MNIST), 9 and 10 (digits of the string), all rows paired.
ACCURACY = {
    "mnist": {"jmvae": 0.9572, "mvae": 0.9681},
    "fashion_mnist": {"jmvae": 0.8828, "mvae": 0.947},
    "multimnist": {"jmvae": 0.4955, "mvae": 0.5288},
}
