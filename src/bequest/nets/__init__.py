"""Small reference networks, each built from a plain config.

What enters the last linear layer of each, mostly named ``head``, are its features.
"""
