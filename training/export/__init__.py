"""Export of trained models: the ONNX graph, the explainer's arrays, and the proof that both equal the model.

``export`` is the way in; ``explainer_arrays`` reads the fitted model, ``onnx_*`` and ``graph`` write the same arrays as
ONNX, ``parity`` compares on the rows of ``parity_rows`` with the trained model and with shap (``reference``).
"""
