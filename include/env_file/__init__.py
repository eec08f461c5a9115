"""Change an env file in transactions: locked, complete or not at all, backed up, recorded, and reversible."""

from include.env_file.history import Entry, Reason, current_user, shown_changes, shown_value
from include.env_file.transaction import PASSED_KEYS, ChangedMeanwhileError, EnvFile, read_keys

__all__ = [
    "PASSED_KEYS",
    "ChangedMeanwhileError",
    "Entry",
    "EnvFile",
    "Reason",
    "current_user",
    "read_keys",
    "shown_changes",
    "shown_value",
]
