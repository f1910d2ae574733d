"""What can be asked here, as an OpenAPI 3.1 document: every route with its statuses, every model with its own types."""
