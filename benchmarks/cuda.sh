#!/bin/sh
# Run everything that needs a CUDA device, in at most ten minutes: the tests for CUDA; the training
# steps of every system (eager, as a graph, compiled, by hand, and by the package multivae); and MVAE
# on BinaryMNIST for the paper's 500 epochs, in two readings at once (weight 1, and weight 50 where
# the image-only term scores the label), in bfloat16 by recorded steps, with its likelihoods.
#
#     PPL_MM_DATA=... benchmarks/cuda.sh
#
# $PPL_MM_DATA holds the folder mnist/ with its four IDX files. Records are written to
# benchmarks/results/ and runs/cuda/. A run of MVAE that the time stops goes on the next time.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}

mvae() {
    timeout 340 "$python" -m ppl_mm.experiments.mvae --dataset binary_mnist --epochs 500 \
        --precision bf16-mixed --step recorded --device cuda --out runs/cuda "$@"
}

"$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"'
timeout 110 "$python" -m pytest -q tests/training -k cuda
timeout 140 "$python" benchmarks/training.py --device cuda --rounds 1 --epochs 2 --steps 30 \
    --out benchmarks/results/training-cuda.json
mvae --label-weight 1 --terms own &
mvae --label-weight 50 --terms image_all
wait $!
"$python" benchmarks/page.py
