"""The embedded world: how its pictures are drawn, and the references that measure how hard it is."""
