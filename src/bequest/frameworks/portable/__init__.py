"""Networks that leave: exported graphs, one torch module, one ONNX file."""
