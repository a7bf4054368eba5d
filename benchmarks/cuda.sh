#!/bin/sh
# Run everything that needs a CUDA device, in at most ten minutes: the tests for CUDA; the training
# steps of every system (eager, as a graph, compiled, by hand, and by the package multivae); and MVAE
# on BinaryMNIST for the paper's 500 epochs, with its likelihoods.
#
#     PPL_MM_DATA=... benchmarks/cuda.sh
#
# $PPL_MM_DATA holds the folder mnist/ with its four IDX files. Records are written to benchmarks/results/ and runs/cuda/.
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
