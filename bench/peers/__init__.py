"""What Clarion's real time is measured against."""
