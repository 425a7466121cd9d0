"""The interface of the desk over HTTP: what its pages show, for programs."""
