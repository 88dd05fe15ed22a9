"""DLCR on real data sets: what a parser and a reader of pictures found, copies by Stable Diffusion, and stage 2."""
