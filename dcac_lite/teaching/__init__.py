"""Arms: experiments that ask when a diffusion model teaches, one idea a file; `names` lists them."""
