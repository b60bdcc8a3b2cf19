"""The forms of files: delimited text, workbooks and JSON, packed or not, as tables of cells."""
