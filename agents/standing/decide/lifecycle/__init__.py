"""The lifecycle of customers under a scheme: columns of their state, what is measured, and the rules over both."""
