"""What ServiceNow says, and what it means here."""
