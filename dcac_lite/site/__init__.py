"""The notebooks as one static site that needs neither a kernel nor the internet."""
