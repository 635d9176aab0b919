"""Helpers of the tests: processes on this machine, damages of files, and what must be equal on several replicas."""
