"""What a run leaves behind: its folder, and the record of how it came about."""
