"""`python -m policies`: writes the published JSON Schema from the grammar."""

import json
from pathlib import Path

from policies.language.document import schema

if __name__ == "__main__":
    path = Path(__file__).parent / "pack.schema.json"
    path.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
