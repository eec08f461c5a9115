"""Operators that run a step under its contract, and the factory that wires them into a DAG."""
