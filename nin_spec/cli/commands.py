"""The commands in groups, each with its module and what it does in one line.

Here, and not only in the commands' docstrings, so that `nin-spec --help` loads none of them.
"""

from __future__ import annotations

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Specify": {
        "init": ("nin_spec.cli.init", "Write a first spec for a folder of pictures."),
        "list": ("nin_spec.cli.show", "List the shipped networks."),
        "build": ("nin_spec.cli.build", "Compile a spec and print its shape table."),
        "check": ("nin_spec.cli.check", "Report errors in specs, and what is legal but probably unintended."),
        "show": ("nin_spec.cli.show", "Print a spec in canonical form, with the origin of each value."),
        "diff": ("nin_spec.cli.diff", "Show how two networks, or two runs, differ."),
        "cite": ("nin_spec.cli.cite", "Print what to cite for a network, as BibTeX."),
        "import": ("nin_spec.cli.importing", "Convert a network of another tool into a spec, with proof."),
    },
    "Train": {
        "train": ("nin_spec.cli.training.command", "Train a network by the recipe in its spec."),
        "sweep": ("nin_spec.cli.sweep", "Train a family of networks within a budget, and find the best."),
        "evaluate": ("nin_spec.cli.evaluate", "Measure the accuracy of a trained network."),
        "calibrate": ("nin_spec.cli.calibrate", "Fit one temperature, so that a run's probabilities can be trusted."),
        "runs": ("nin_spec.cli.runs", "List the runs below a folder, to compare them."),
        "data": ("nin_spec.cli.data", "List, fetch, check and save data sets."),
    },
    "Export and run": {
        "export": ("nin_spec.cli.export", "Write a network as ONNX, PyTorch source, a diagram or a report."),
        "run": ("nin_spec.cli.run", "Classify pictures or arrays with an exported model or a run."),
        "explain": ("nin_spec.cli.explain", "Show what a network looks at: class maps, whose mean is the score."),
        "bench": ("nin_spec.cli.bench", "Measure how fast a network runs here, beside other runtimes."),
    },
    "Serve": {
        "serve": ("nin_spec.cli.serve", "Serve models over the Open Inference Protocol v2."),
    },
    "Tools": {
        "guide": ("nin_spec.cli.guide", "Print a guide, or list the topics."),
        "studio": ("nin_spec.cli.studio", "Edit a spec in a local web page that shows its network as you type."),
        "schema": ("nin_spec.cli.show", "Print the JSON Schema of the language, for editors."),
        "doctor": ("nin_spec.cli.doctor", "Show versions, and which devices work here."),
        "prove": ("nin_spec.cli.prove", "Prove that a device computes what the language means, op by op."),
    },
}

TOPICS = {
    "init": "data",
    "build": "language",
    "check": "lint",
    "show": "language",
    "diff": "language",
    "cite": "export",
    "schema": "language",
    "import": "import",
    "train": "training",
    "sweep": "sweep",
    "evaluate": "evaluation",
    "calibrate": "evaluation",
    "runs": "evaluation",
    "data": "data",
    "export": "export",
    "run": "devices",
    "explain": "explain",
    "doctor": "devices",
    "prove": "devices",
    "bench": "benchmarks",
    "serve": "serving",
    "studio": "studio",
}
"""The guide that each command's help names."""

COMMANDS = {name: module for group in GROUPS.values() for name, (module, _) in group.items()}
