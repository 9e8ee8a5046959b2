"""Prints a plan as C, through templates/."""
