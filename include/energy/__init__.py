"""Energy domain: meter readings of homes and grids → analysis → report.

Three steps that talk only through files: `generator` writes `energy_data.csv` (synthetic, or converted from input
files), `analyzer` judges every record, `report` shows the findings. Importing this package loads nothing heavy.
"""
