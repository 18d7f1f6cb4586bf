"""Pretrained sources that install as packages."""
