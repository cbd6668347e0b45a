"""What approvals need from outside the service: the directory of people, messages to them, passkeys."""
