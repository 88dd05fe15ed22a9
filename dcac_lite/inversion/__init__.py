"""Re-ID by inverting a diffusion model that draws people (Asperti, Fiorilla, Orsini, Sensors 24(4):1240, 2024).

A denoiser draws a person from noise and a vector; the vectors, one a training identity, are learned with it. Two
networks then run backwards, from a picture to its vector (`img2id`) and to its noise (`img2noise`), and people are
told apart by the distance of their vectors. One idea a file; `recipe` holds every size, `system` trains the whole."""
