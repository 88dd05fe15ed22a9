"""Stage 1 of DLCR: a text-guided inpainting model, and pictures' copies in other clothes by it."""
