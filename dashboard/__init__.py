"""Pages for analysts, data scientists and operators, over the service's HTTP interface and MLflow."""
