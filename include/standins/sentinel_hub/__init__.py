"""A local stand-in for the Sentinel Hub API, over a simulator or a folder of scenes. Imports nothing of the rest."""
