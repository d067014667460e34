"""The schedule of retraining: values of the release, which the chart makes a CronJob of."""
