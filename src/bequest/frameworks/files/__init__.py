"""Files and folders of models: what is in them, and how they are written whole."""
