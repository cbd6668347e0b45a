"""What people do: look at requests, vote, agree, stand in, take back. The same checks for every surface."""
