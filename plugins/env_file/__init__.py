"""Env files in DAGs: changing them as a transaction, and asking a person before."""
