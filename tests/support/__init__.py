"""Helpers of the tests: stand-ins, programs that tests start, makers of files and cases."""
