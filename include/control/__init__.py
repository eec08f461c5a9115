"""The control protocol of services: health, execute, status, output, cancel and content; its client and its server.

It knows neither Airflow nor a domain. An operation of a service is a registered step (`include.core.contracts.Step`).
"""
