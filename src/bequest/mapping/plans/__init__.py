"""The map itself: its entries, how it prints, and how it is applied."""
