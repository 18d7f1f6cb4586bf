"""Small reference networks, each built from a plain config.

Every network ends in a linear layer named ``head``; what enters it are the features.
"""
