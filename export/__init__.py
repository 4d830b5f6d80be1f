"""Export PyTorch networks to ONNX, deterministically, with proof of every weight's origin."""
