"""Crop classification: the crop of each field from its series of a season, learnt from the user's own labels."""
