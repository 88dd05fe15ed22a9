"""What leaves the repository: converted checkpoints, exported encoders."""
