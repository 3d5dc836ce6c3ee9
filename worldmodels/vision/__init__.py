"""V, the convolutional VAE: its network and loss, and the encoder that acts.

May import `networks`, `environment` and what they may.
"""
