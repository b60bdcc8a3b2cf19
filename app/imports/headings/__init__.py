"""The headings of tables: their meanings in many languages, and the columns and platform that follow."""
