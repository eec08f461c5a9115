"""Set-up and generators of the checkout; no part of the product."""
