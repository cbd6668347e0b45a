"""External dependencies of approvals: the directory of people, notifications, passkeys."""
