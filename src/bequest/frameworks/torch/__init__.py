"""Networks of torch: models, devices, addresses of their content, adapters."""
