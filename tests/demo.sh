#!/bin/sh
# The main job on real input: a network from its YAML to an accuracy, and to a file that onnxruntime serves.
# `make demo` calls this.
set -eu
say() { printf '\n$ %s\n' "$*"; "$@"; }
out=${OUT:-out}
rm -rf "$out/digits" "$out/pictures"
mkdir -p "$out"

say nin-spec build specs/nin_cifar.yaml

say nin-spec train specs/nin_digits.yaml -o "$out/digits"
say nin-spec export "$out/digits" --onnx "$out/nin_digits.onnx"
say nin-spec evaluate "$out/nin_digits.onnx" --confusion "$out/confusion.png"
say nin-spec data save digits "$out/pictures" --count 3
say nin-spec run "$out/nin_digits.onnx" "$out"/pictures/*.png --top 1

printf '\nin %s: the run (digits/curves.png), confusion.png, nin_digits.onnx, pictures\n' "$out"
