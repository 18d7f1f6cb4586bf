"""The transferability scores, one file each."""
