"""An ONNX file for the page about arrays: a network of two layers on 64 pixels."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
weights = {"w": rng.normal(size=(64, 8)) / 64, "v": rng.normal(size=(8, 2))}
nodes = [
    helper.make_node("MatMul", ["pixels", "w"], ["inner"]),
    helper.make_node("Tanh", ["inner"], ["embedding"]),
    helper.make_node("MatMul", ["embedding", "v"], ["logits"]),
]
sides = {name: ("rows", size) for name, size in (("pixels", 64), ("logits", 2), ("embedding", 8))}
values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in sides.items()]
tensors = [numpy_helper.from_array(one.astype(np.float32), name) for name, one in weights.items()]
graph = helper.make_graph(nodes, "scanner", values[:1], values[1:], tensors)
opsets = [helper.make_opsetid("", 18)]
onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), "scanner.onnx")
