"""Any API that answers in JSON."""
