"""V, the convolutional VAE: its network and loss, the encoder that acts, pictures for people.

May import `environment` and what that may.
"""
