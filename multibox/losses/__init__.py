"""The published formulations of the loss, one per file."""
