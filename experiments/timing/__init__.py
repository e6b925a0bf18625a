"""The harness of all measurements of speed: turns, clocks, contestants, and steps to time."""
