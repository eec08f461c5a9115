"""Model registry: the store of versions, promotion to the env file, MLflow's record, and the page Models."""
