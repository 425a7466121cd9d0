"""People's logins: sessions, tokens, and what an attacker with one of them gets."""
