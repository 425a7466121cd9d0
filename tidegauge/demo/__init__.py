"""The demo: a simulated bank through everything, seven stories in words, and a check of every figure by SQL alone."""
