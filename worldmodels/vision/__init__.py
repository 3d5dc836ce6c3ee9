"""V, the convolutional VAE: its network and loss, and the batched encoder.

May import `networks`, `environment` and what they may.
"""
