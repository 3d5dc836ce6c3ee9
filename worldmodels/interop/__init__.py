"""For other projects: agents as policies and as ONNX, scores of any policy, many cars at once.

May import `workers`, `dream`, and what they may. No stage imports it.
"""
