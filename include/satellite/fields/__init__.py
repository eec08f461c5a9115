"""Fields: what imagery says of each, pass by pass."""
