"""Files of other tools, node by node: ONNX operators, NIR nodes and neurons. The entries are `onnx_files` and `nir_files`."""
