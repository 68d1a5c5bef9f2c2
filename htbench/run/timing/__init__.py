"""The timing protocol of `htbench time`."""
