"""Energy domain: meter readings of homes and grids → analysis → report.

Three steps that talk only through files: `generator` writes `energy_data.csv` (made up, or from people's own files),
`analyzer` judges every record, `report` tells people. Importing this package loads nothing heavy.
"""
