"""Folders, networks and names of Hugging Face and sentence-transformers."""
