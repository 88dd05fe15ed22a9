"""Loading weights that others have made: CLIP, Stable Diffusion, its text encoder."""
