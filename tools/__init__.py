"""What builds this project's documents; not part of the package."""
