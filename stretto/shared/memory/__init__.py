"""Shared memory: one service owns the vector store; all others reach it over the bus."""
