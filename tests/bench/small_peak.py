"""A bench's worker whose peak is the best of small products, found in a moment: `python small_peak.py`."""

from __future__ import annotations

from nin_spec.bench import peak, worker

if __name__ == "__main__":
    peak.SHAPES = ((64, 64, 64), (128, 64, 32))  # type: ignore[assignment]
    peak._SECONDS = 0.01
    worker.main()
