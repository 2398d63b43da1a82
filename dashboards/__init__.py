"""Stage 3: what people see in Grafana, generated from the metric catalogue and the SLOs."""
