#!/bin/sh
# What a CUDA device has to show, in one command of at most ten minutes on one device: the tests that
# need one; the steps of every system, eager, as a graph, compiled, by hand and of the package
# multivae; MVAE on BinaryMNIST for the paper's 500 epochs, with its likelihoods.
#
#     PPL_MM_DATA=... benchmarks/cuda.sh
#
# $PPL_MM_DATA holds mnist/, the four IDX files. Records go to benchmarks/results/ and runs/cuda/.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}

"$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"'
timeout 150 "$python" -m pytest -q tests/training -k cuda
timeout 180 "$python" benchmarks/training.py --device cuda --rounds 1 --epochs 2 --steps 30 \
    --out benchmarks/results/training-cuda.json
timeout 260 "$python" -m ppl_mm.experiments.mvae --dataset binary_mnist --label-weight 50 \
    --epochs 500 --device cuda --out runs/cuda
"$python" benchmarks/page.py
