"""onnxruntime sessions: devices and diagnosis, opening of models, parity, classification."""
