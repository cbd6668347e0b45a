"""What people need around their answers: the directory, resume tokens, messages, passkeys."""
