"""Types that several contracts have in common, each once; `schemas.building` puts them where they are named."""
