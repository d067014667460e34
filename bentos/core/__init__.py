"""The domain shared by training, serving, dashboard and cluster tools."""
