"""Change an env file in transactions: locked, complete or not at all, backed up, recorded, and reversible."""

from include.env_file.history import Change, Entry, Reason, current_user
from include.env_file.text import Changes
from include.env_file.transaction import PASSED_KEYS, ChangedMeanwhileError, EnvFile, read_keys

__all__ = [
    "PASSED_KEYS",
    "Change",
    "ChangedMeanwhileError",
    "Changes",
    "Entry",
    "EnvFile",
    "Reason",
    "current_user",
    "read_keys",
]
