"""The report that every run ends with: a documented JSON model and a self-contained HTML page."""
