"""The directory of people, and notification channels: mail, chat, webhooks."""
