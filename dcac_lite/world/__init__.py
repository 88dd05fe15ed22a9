"""The embedded world: procedural pedestrians, their places and cameras, and what is true about them."""
