"""The spec language: YAML to nodes with positions, to validated models, to the canonical form."""
