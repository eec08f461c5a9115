"""What the energy steps state, recomputed by the orchestrator from their inputs and outputs.

A step is never believed, whatever image it ran in: `readings` recomputes the generator's records, `judgements` and
`totals` the analyzer's, `rows` the report's. What costs too much for all records is recomputed for a sample that is
drawn after the step has ended (`samples`); `plain_rules` judges some records by the rules written a second time.
"""
