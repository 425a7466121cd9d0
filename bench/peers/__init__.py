"""The same jobs on other engines, each as its own documentation would write them."""
