"""Commands about how an installation is set up."""
