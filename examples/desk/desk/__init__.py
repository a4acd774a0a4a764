"""A ticket desk as a service that Stretto knows nothing of."""
