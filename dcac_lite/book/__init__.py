"""What the notebooks need beside the method: set-up, figures, explorers."""
