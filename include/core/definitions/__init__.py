"""Pipeline definitions: JSON files, each of which becomes a DAG.

Two formats are read into one model (`Definition`); all faults of a file are reported at once, each with its JSON path
and the remedy. A container whose id is that of a registered step stands for that step and has the files of the step's
contract; any other declares its image, its command and its files. A pipeline that is defined in code takes the specs
of its steps from their contracts (`specs_of`).
"""
