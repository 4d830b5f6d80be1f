"""Measure, image by image, how far an ONNX file is from the network it was made of."""
