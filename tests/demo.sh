#!/bin/sh
# The main job on real input: compile, prove, export and run nin_cifar. `make demo` calls this.
set -eu
say() { printf '\n$ %s\n' "$*"; "$@"; }
out=${OUT:-out}
mkdir -p "$out"

say nin-spec build specs/nin_cifar.yaml -o "$out/weights.safetensors" --seed 1
say nin-spec export specs/nin_cifar.yaml --onnx "$out/nin_cifar.onnx" --weights "$out/weights.safetensors"

# A photograph that scikit-learn ships.
photo=$(python -c "import pathlib, sklearn.datasets as d; print(pathlib.Path(d.__file__).parent / 'images' / 'flower.jpg')")
cp "$photo" "$out/flower.jpg"
say nin-spec run "$out/nin_cifar.onnx" "$out/flower.jpg" --top 3
