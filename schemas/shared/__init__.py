"""Types that several contracts have in common, each once; `schemas.release` puts them where they are named."""
