"""A pack in plain sentences, in English and Chinese, as a letter to customers would say them."""
