"""What pages of any web service stand on: templates, assets, languages, who visits, event streams. It knows no page's subject."""
