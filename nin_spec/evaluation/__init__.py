"""Evaluation: how well a trained network classifies pictures, in torch and in onnxruntime.

metrics.py      scores and true classes to accuracy, confusion, loss
confidence.py   probabilities to calibration error, reliability, risk and coverage
scores.py       the scores of every picture, in one runtime
mistakes.py     the pictures that are classified wrongly
agreement.py    where two runtimes differ
subjects.py     what can be evaluated: a model, a run folder, an ONNX file
comparison.py   the modules above put together
calibrating.py  the temperature of a run

>>> from nin_spec.evaluation import evaluate
>>> evaluate(model, split).accuracy  # doctest: +SKIP
"""

from nin_spec.evaluation.agreement import Agreement, Disagreement
from nin_spec.evaluation.calibrating import Calibrated, calibrate
from nin_spec.evaluation.comparison import Comparison, compare, evaluate
from nin_spec.evaluation.metrics import ClassRow, Evaluation, confusion, evaluation_of
from nin_spec.evaluation.subjects import Subject, subject_of, subject_of_file, subject_of_run, subject_of_spec

__all__ = [
    "Agreement",
    "Calibrated",
    "ClassRow",
    "Comparison",
    "Disagreement",
    "Evaluation",
    "Subject",
    "calibrate",
    "compare",
    "confusion",
    "evaluate",
    "evaluation_of",
    "subject_of",
    "subject_of_file",
    "subject_of_run",
    "subject_of_spec",
]
