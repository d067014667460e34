"""Runs, model versions and their promotion, in MLflow. Nothing outside this package imports mlflow."""
