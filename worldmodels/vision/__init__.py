"""V, the convolutional VAE: its network and loss, the batched encoder, pictures to look at.

May import `environment` and what that may.
"""
