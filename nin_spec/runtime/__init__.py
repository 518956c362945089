"""onnxruntime sessions: which device works and why not, models opened honestly, pictures classified."""
