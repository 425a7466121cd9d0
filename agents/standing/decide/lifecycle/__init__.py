"""The lifecycle of customers under a scheme: columns of their state, what is measured, and the rules over both.

Others ask the decider (decider.py); tests/test_tidy.py says so.
"""
