"""What talks to the cluster: Jobs for training, tuning and bulk scoring, and their schedule."""
