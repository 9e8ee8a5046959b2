"""vadgen: from a folder of good pictures to a microcontroller that finds the bad ones."""

__version__ = "0.1.0"
