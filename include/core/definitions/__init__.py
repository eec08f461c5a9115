"""Pipeline definitions: JSON files, each of which becomes a DAG.

Two shapes are read into one model (`Definition`); what is wrong with a file is said all at once, each fault with its
JSON path and the mend. A container whose id is that of a registered step stands for that step and takes its files
from the step's contract; any other names its image, its command and its files.
"""

from include.core.definitions.document import DefinitionError, Fault
from include.core.definitions.load import json_schema, load_definition, load_definitions
from include.core.definitions.model import Definition, RecordFiles, StepSpec

__all__ = [
    "Definition",
    "DefinitionError",
    "Fault",
    "RecordFiles",
    "StepSpec",
    "json_schema",
    "load_definition",
    "load_definitions",
]
