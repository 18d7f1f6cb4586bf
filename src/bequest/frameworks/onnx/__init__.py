"""Files of ONNX as models; they run in a process of their own."""
