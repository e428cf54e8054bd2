"""Ways of choosing a host."""
